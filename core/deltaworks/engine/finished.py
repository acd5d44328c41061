"""A full model that a killed run had finished, all but taking its journal away."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine.environment import resident_bytes, versions
from deltaworks.engine.journal import Rests
from deltaworks.engine.provenance import lasting_recipe
from deltaworks.engine.reports import Artefact, Report
from deltaworks.errors import AppError
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name
from deltaworks.recipes.schema import MergeRecipe, RebuildRecipe

_NOTE = "It was finished by an earlier run, which was stopped before it could say so."


def finished_before(recipe: MergeRecipe | RebuildRecipe) -> Report | None:
    """Give the report of a model that a run of this recipe has finished and not told of.

    The model got its name only after it was checked, and its journal tells which recipe and
    inputs it was made from.

    Returns:
        None when there is none, or when an input has changed since.
    """
    target = Path(recipe.output).absolute()
    rests = Rests(target, lasting_recipe(recipe))
    if not target.is_dir() or not rests.are_of_a_finished_output():
        return None
    try:
        with ExitStack() as open_files:
            opened = [
                open_files.enter_context(open_checkpoint(path)) for path in _inputs_of(recipe)
            ]
            if not rests.are_of(opened):
                return None
        rests.remove()
    except AppError:
        return None
    return Report(
        job=recipe.kind,
        recipe=dump_recipe(recipe),
        artefacts=(_artefact(recipe, target),),
        seconds={"total": 0.0},
        peak_bytes=resident_bytes(),
        versions=versions(),
        results={"notes": [_NOTE]},
    )


def _inputs_of(recipe: MergeRecipe | RebuildRecipe) -> list[str]:
    """Name the inputs in the order in which the journal has them."""
    base = [recipe.base.path] if recipe.base else []
    if isinstance(recipe, MergeRecipe):
        return [*base, *(expert.model.path for expert in recipe.experts)]
    return [*base, recipe.delta.path]


def _artefact(recipe: MergeRecipe | RebuildRecipe, target: Path) -> Artefact:
    setting = recipe.setting if isinstance(recipe, MergeRecipe) else None
    return Artefact(
        path=recipe.output,
        kind="model",
        name=display_name(recipe.output),
        expert="",
        base=recipe.base.path if recipe.base else "",
        method=setting.method if setting else "",
        options=dict(setting.options) if setting else {},
        file_bytes=sum(path.stat().st_size for path in target.rglob("*") if path.is_file()),
    )
