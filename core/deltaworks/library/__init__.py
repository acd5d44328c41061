"""What this machine holds."""

from deltaworks.library.demo import DemoSet, unpack_demo
from deltaworks.library.home import Home, default_home
from deltaworks.library.library import Library, Relation, Sizes
from deltaworks.library.rows import FileRow, Match, ModelRow, State
from deltaworks.library.search import Query, parse_query
from deltaworks.library.volumes import RootRow

__all__ = [
    "DemoSet",
    "FileRow",
    "Home",
    "Library",
    "Match",
    "ModelRow",
    "Query",
    "Relation",
    "RootRow",
    "Sizes",
    "State",
    "default_home",
    "parse_query",
    "unpack_demo",
]
