"""What an artefact says of how it was made, so that the same work gives the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deltaworks.recipes import dump_recipe
from deltaworks.recipes.schema import CompressRecipe, MergeRecipe, RebuildRecipe

_HOW = {"device": "cpu", "memory_bytes": 256_000_000, "threads": 0}
"""Fields that say how a job ran and change nothing of its result."""


def lasting_recipe(recipe: CompressRecipe | MergeRecipe | RebuildRecipe) -> dict[str, Any]:
    """Give the recipe as it is stored inside the artefact.

    Fields that do not change the result are set back, and the output keeps its name
    only: wherever and with however many threads it is made, it has the same bytes.
    """
    changes = {**_HOW, "output": Path(recipe.output).name}
    return dump_recipe(recipe.model_copy(update=changes))
