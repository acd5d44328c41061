"""A merge that takes part in a comparison, and the recipes that make it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltaworks.methods import merging_method
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.recipes.naming import slug
from deltaworks.recipes.schema import ContestRecipe, MergeInput, MergeRecipe, MergeSetting, Setting


@dataclass(frozen=True)
class Entrant:
    """A merge to be made.

    Args:
        number: of its entry, or of a trial.
        method: what makes it.
        recipes: one, or one for each expert where the method switches.
    """

    number: int
    method: MergingMethod
    recipes: tuple[MergeRecipe, ...]


def make_entrant(
    recipe: ContestRecipe,
    names: Sequence[str],
    texts: Sequence[str],
    work: Path,
    number: int,
    setting: MergeSetting,
    each: Sequence[dict[str, Any]],
) -> Entrant:
    """Turn a setting into recipes.

    Args:
        recipe: of the comparison.
        names: of the experts.
        texts: of their tasks; empty where there are none.
        work: folder for the merged models.
        number: tells their folders from others.
        setting: method, options, sparsifier.
        each: options of every expert.
    """
    method = merging_method(setting.method)
    experts = tuple(
        MergeInput(model=one.model.model_copy(update={"name": name}), options=own, texts=text)
        for one, name, own, text in zip(recipe.experts, names, each, texts, strict=True)
    )
    variants: list[dict[str, Any]] = [{}]
    if method.switches:
        variants = [{"expert": place + 1} for place in range(len(names))]
    recipes = tuple(
        MergeRecipe(
            base=recipe.base,
            experts=experts,
            setting=Setting(method=method.id, options={**setting.options, **variant}),
            pre=setting.pre,
            calibration=recipe.calibration,
            seed=recipe.seed,
            device=recipe.device,
            memory_bytes=recipe.memory_bytes,
            threads=recipe.threads,
            output=str(work / f"{number:03d}-{place}-{slug(method.id)}"),
        )
        for place, variant in enumerate(variants)
    )
    return Entrant(number, method, recipes)
