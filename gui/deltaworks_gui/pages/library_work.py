"""What the Library does beside the window's thread: reads disks, unpacks the demo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from deltaworks.library.demo import DemoSet, unpack_demo
from deltaworks.library.home import Home
from deltaworks.library.library import Library
from deltaworks.library.rows import ModelRow
from deltaworks.library.volumes import RootRow
from deltaworks.progress import JobControl
from deltaworks_resources import demo_folder

Tell = Callable[[list[ModelRow]], None]


def read_disk(library: Library, control: JobControl, tell: Tell) -> list[RootRow]:
    """Scan every root, relate and hash what is new; give the roots as they are now."""
    library.scan(control, tell)
    roots = library.roots()
    quiet = JobControl(cancelled=control.cancelled)
    for find in (library.relate, library.hash_contents):
        if found := find(quiet):
            tell(found)
    return roots


def add_roots(library: Library, paths: Sequence[Path]) -> list[str]:
    """Watch these folders; of a file, the folder of its model, or the file alone."""
    return [library.add_root(root).path for root in dict.fromkeys(map(root_of, paths))]


def root_of(path: Path) -> Path:
    """What to watch for a path that was dropped or chosen.

    A file beside a config or an index belongs to that folder's model. Any other is listed
    alone, so that one file in a folder of downloads does not bring the others along.
    """
    if path.is_dir():
        return path
    folder = path.parent
    is_part = path.suffix.lower() == ".json" or (folder / "config.json").exists()
    return folder if is_part or any(folder.glob("*.safetensors.index.json")) else path


def unpack(library: Library, home: Home, control: JobControl) -> DemoSet:
    """Make the bundled models ready and watch their folder."""
    made = unpack_demo(demo_folder(), home.store / "demo")
    control.check()
    library.add_root(made.root)
    return made
