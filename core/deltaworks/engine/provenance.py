"""What an artefact says of how it was made, so that the same work gives the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.recipes import dump_recipe
from deltaworks.recipes.schema import (
    CompressRecipe,
    FuseRecipe,
    MergeRecipe,
    RebuildRecipe,
    RepairRecipe,
    Setting,
    TransferRecipe,
)

if TYPE_CHECKING:
    from deltaworks.engine.compress_plan import Choice, CompressJob, ExpertJob

_HOW = {"device": "cpu", "memory_bytes": 256_000_000, "threads": 0}
"""Fields that say how a job ran and change nothing of its result."""


def lasting_recipe(
    recipe: CompressRecipe
    | FuseRecipe
    | MergeRecipe
    | RebuildRecipe
    | RepairRecipe
    | TransferRecipe,
) -> dict[str, Any]:
    """Give the recipe as it is stored inside the artefact.

    Fields that do not change the result are set back, and the output keeps its name
    only: wherever and with however many threads it is made, it has the same bytes.
    """
    changes = {**_HOW, "output": Path(recipe.output).name}
    if recipe.device.startswith("cuda"):
        changes["device"] = "cuda:0"  # a GPU's last bits are not a CPU's
    if isinstance(recipe, RepairRecipe):
        changes["cache"] = ""
    return dump_recipe(recipe.model_copy(update=changes))


def output_recipe(
    job: CompressJob, expert: ExpertJob, choice: Choice, target: Path
) -> dict[str, Any]:
    """Give the lasting recipe of one file of a job that makes several, as JSON has it."""
    recipe = job.recipe.model_copy(
        update={
            "experts": (job.recipe.experts[job.experts.index(expert)],),
            "settings": (Setting(method=choice.method.id, options=choice.values),),
            "output": str(target),
        }
    )
    plain: dict[str, Any] = json.loads(json.dumps(lasting_recipe(recipe)))
    return plain
