"""``auto``: which device a job gets, from what its methods do and how large its models are."""

from __future__ import annotations

from collections.abc import Sequence

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine.devices import AUTO, CPU, Device, Work, choose, decomposition, detect
from deltaworks.engine.environment import n_workers
from deltaworks.methods import METHODS
from deltaworks.recipes.schema import (
    CompressRecipe,
    FuseRecipe,
    MergeRecipe,
    RebuildRecipe,
    RepairRecipe,
)

_Recipe = CompressRecipe | FuseRecipe | MergeRecipe | RebuildRecipe | RepairRecipe


def resolve_device(
    recipe: _Recipe,
    devices: Sequence[Device] | None = None,
) -> str:
    """Give the device that a job should use; headers are read where there is a choice.

    Args:
        recipe: whose device may be ``auto``.
        devices: that there are; detected when not given.

    Raises:
        FileError: a model cannot be opened.
    """
    if recipe.device != AUTO:
        return recipe.device
    methods = [METHODS[name] for name in _methods(recipe) if name in METHODS]
    passes = sum(method.decomposes for method in methods)
    n_tokens = _tokens(recipe) if any(method.needs.statistics for method in methods) else 0
    if not passes and not n_tokens:
        return CPU
    there = detect() if devices is None else devices
    if len(there) == 1:
        return CPU
    work = Work(0, 0.0)
    for path in _models(recipe):
        work = _plus(work, path, passes, n_tokens)
    return choose(work, there, cores=n_workers(recipe.threads)).id


def _tokens(recipe: _Recipe) -> int:
    """Tokens that run through a model for the statistics that methods ask for."""
    known = getattr(recipe, "calibration", None)
    return known.samples * known.tokens if known is not None else 0


def _methods(recipe: _Recipe) -> list[str]:
    if isinstance(recipe, CompressRecipe):
        return [setting.method for setting in recipe.settings]
    return [recipe.setting.method] if isinstance(recipe, FuseRecipe | MergeRecipe) else []


def _models(recipe: _Recipe) -> list[str]:
    if isinstance(recipe, CompressRecipe):
        return [one.path for one in recipe.experts]
    if isinstance(recipe, FuseRecipe):
        return [one.model.path for one in recipe.models]
    return [one.model.path for one in recipe.experts] if isinstance(recipe, MergeRecipe) else []


def _plus(work: Work, path: str, passes: int, n_tokens: int) -> Work:
    """Add the decompositions of one model's matrices, and texts that run through it."""
    with open_checkpoint(path) as model:
        infos = [model.info(name) for name in model.names if len(model.info(name).shape) > 1]
    return Work(
        work.n_bytes + sum(4 * info.n_elements for info in infos),
        work.operations
        + sum(
            passes * decomposition(info.shape) + 2.0 * n_tokens * info.n_elements for info in infos
        ),
        max([work.peak_bytes, *(24 * info.n_elements for info in infos)]),
    )
