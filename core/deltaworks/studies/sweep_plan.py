"""A sweep before it runs: its trials, its checks, its size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deltaworks.engine import plan
from deltaworks.engine.plan_types import Plan
from deltaworks.errors import FileError
from deltaworks.methods import compression_method
from deltaworks.options import read_options
from deltaworks.recipes.naming import display_name, distinct, setting_labels
from deltaworks.recipes.schema import CompressRecipe, SweepRecipe
from deltaworks.studies.trials import Trial

SWEEP_FILE = "sweep.json"
_COMMON = ("seed", "device", "memory_bytes", "threads", "note", "scope", "calibration")


@dataclass(frozen=True)
class SweepSetting:
    """One setting with all of its options, and what tells it from its siblings."""

    method: str
    title: str
    options: dict[str, Any]
    label: str


def plan_sweep(recipe: SweepRecipe) -> Plan:
    """Say what a sweep will do and cost, from headers alone and without torch.

    The work counts the compression; measuring comes on top and is not known before.

    Raises:
        AppError: it cannot run; every fault that was found is in the text.
    """
    whole = plan(compress_recipe(recipe, Path(recipe.output)))
    sweep_file = Path(recipe.output) / SWEEP_FILE
    if sweep_file.exists():
        raise FileError("exists already", where=str(sweep_file), fix="Choose another folder.")
    if recipe.evaluation and not Path(recipe.evaluation).exists():
        raise FileError(
            "is not there", where=recipe.evaluation, fix="Choose an evaluation set, or none."
        )
    n_trials = len(whole.outputs)
    return replace(
        whole,
        title=recipe.title or f"Sweep of {n_trials} trial{'s' * (n_trials > 1)}",
    )


def compress_recipe(recipe: SweepRecipe, output: Path, expert: int | None = None) -> CompressRecipe:
    """Give the compression that a sweep begins with, of one expert or of all."""
    names = expert_names(recipe)
    experts = [
        ref.model_copy(update={"name": name})
        for ref, name in zip(recipe.experts, names, strict=True)
    ]
    return CompressRecipe(
        base=recipe.base,
        experts=tuple(experts if expert is None else [experts[expert]]),
        settings=recipe.settings,
        output=str(output),
        **{name: getattr(recipe, name) for name in _COMMON},
    )


def expert_names(recipe: SweepRecipe) -> list[str]:
    """Name the experts for people, each differently."""
    return distinct([display_name(ref.path, ref.name) for ref in recipe.experts])


def sweep_settings(recipe: SweepRecipe) -> tuple[SweepSetting, ...]:
    """Give the settings with all of their options.

    Raises:
        OptionError: a method or option is unknown.
    """
    methods = [compression_method(setting.method) for setting in recipe.settings]
    options = [
        read_options(method.options, setting.options, where=f"method '{method.id}'").model_dump(
            mode="json"
        )
        for method, setting in zip(methods, recipe.settings, strict=True)
    ]
    pairs = [(method.id, values) for method, values in zip(methods, options, strict=True)]
    return tuple(
        SweepSetting(method.id, method.title, values, label)
        for method, values, label in zip(methods, options, setting_labels(pairs), strict=True)
    )


def first_trials(recipe: SweepRecipe) -> list[Trial]:
    """Give every trial as it waits: all settings of the first expert, then of the next."""
    settings = sweep_settings(recipe)
    return [
        Trial(
            number=place * len(settings) + step + 1,
            expert=name,
            expert_path=ref.path,
            method=setting.method,
            title=setting.title,
            options=setting.options,
            settings=setting.label,
        )
        for place, (ref, name) in enumerate(zip(recipe.experts, expert_names(recipe), strict=True))
        for step, setting in enumerate(settings)
    ]
