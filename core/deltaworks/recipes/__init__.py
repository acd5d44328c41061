"""A job as a document."""

from deltaworks.recipes.commands import as_command
from deltaworks.recipes.documents import dump_recipe, load_recipe, parse_recipe, save_recipe
from deltaworks.recipes.mergekit import from_mergekit
from deltaworks.recipes.schema import Recipe

__all__ = [
    "Recipe",
    "as_command",
    "dump_recipe",
    "from_mergekit",
    "load_recipe",
    "parse_recipe",
    "save_recipe",
]
