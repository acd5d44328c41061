"""A sweep of repairs before it runs: its settings, its checks, its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deltaworks.engine import plan
from deltaworks.engine.plan_types import Plan
from deltaworks.engine.repair_plan import unlocked_by
from deltaworks.errors import FileError, OptionError
from deltaworks.methods import SAFETY, safety_method
from deltaworks.methods.safety_record import SafetyMethod
from deltaworks.options import describe, read_options
from deltaworks.recipes.naming import display_name, setting_labels, slug
from deltaworks.recipes.schema import RepairRecipe, RepairSources, RepairSweepRecipe, Setting
from deltaworks.studies.trials import Trial

SWEEP_FILE = "sweep.json"


def plan_repair_sweep(recipe: RepairSweepRecipe) -> Plan:
    """Say what a sweep will do and cost, from headers alone and without torch.

    Raises:
        AppError: it cannot run; every fault that was found is in the text.
    """
    output = Path(recipe.output)
    plans = [
        plan(repair_recipe(recipe, setting, output / f"repair-{number}"))
        for number, setting in enumerate(recipe.settings, start=1)
    ]
    sweep_file = output / SWEEP_FILE
    if sweep_file.exists():
        raise FileError("exists already", where=str(sweep_file), fix="Choose another folder.")
    items = tuple(
        replace(item, id=f"{number}/{item.id}")
        for number, one in enumerate(plans, start=1)
        for item in one.items
    )
    return replace(
        plans[0],
        title=recipe.title or f"Sweep of {len(plans)} repairs",
        items=items,
        outputs=tuple(output for one in plans for output in one.outputs),
        notes=tuple(dict.fromkeys(note for one in plans for note in one.notes)),
    )


def repair_recipe(
    recipe: RepairSweepRecipe, setting: Setting, output: Path, *, cache: str = ""
) -> RepairRecipe:
    """Give the repair that a setting stands for."""
    shared = {name: getattr(recipe, name) for name in RepairSources.model_fields}
    if cache:
        shared["cache"] = cache
    return RepairRecipe(**shared, setting=setting, output=str(output))


def first_repairs(recipe: RepairSweepRecipe) -> list[Trial]:
    """Give every repair as it waits, in the order of the settings."""
    name = display_name(recipe.tuned.path, recipe.tuned.name)
    methods = [safety_method(setting.method) for setting in recipe.settings]
    options: list[dict[str, Any]] = [
        read_options(method.options, setting.options, where=f"method '{method.id}'").model_dump(
            mode="json"
        )
        for method, setting in zip(methods, recipe.settings, strict=True)
    ]
    labels = setting_labels(
        [(method.id, values) for method, values in zip(methods, options, strict=True)]
    )
    found = zip(methods, options, labels, strict=True)
    return [
        Trial(number, name, recipe.tuned.path, method.id, method.title, values, settings=label)
        for number, (method, values, label) in enumerate(found, start=1)
    ]


def model_name(name: str, trial: Trial) -> str:
    """Name the folder of a repaired model: ``model--method--settings``."""
    parts = (slug(name), trial.method, slug(trial.settings) or f"repair-{trial.number}")
    return "--".join(parts)


def budget_settings(
    method: SafetyMethod, options: dict[str, Any], budgets: Sequence[float] | None = None
) -> list[Setting]:
    """Give a setting a budget: those wanted, or those that the method declares.

    Raises:
        OptionError: a budget is out of bounds.
    """
    name = budget_of(method, options)
    info = next(one for one in describe(method.options) if one.name == name)
    values = list(budgets) if budgets else list(info.sweep)
    if not values:
        raise OptionError(
            f"'{name}' has no values to try", where=f"method '{method.id}'", fix="Name some"
        )
    settings = [Setting(method=method.id, options={**options, name: value}) for value in values]
    for setting in settings:
        read_options(method.options, setting.options, where=f"method '{method.id}'")
    return settings


def budget_of(method: SafetyMethod, options: dict[str, Any]) -> str:
    """Name the option that a trade-off varies."""
    if method.id == "safe-delta" and options.get("budget") == "authors":
        return "s"
    if method.id == "safelora" and options.get("selection") == "number":
        return "number"
    return method.budget


def usable_methods(given: Sequence[str]) -> list[SafetyMethod]:
    """Which methods can run with these inputs: ``unaligned``, ``safety``… at their defaults."""
    return [method for method in SAFETY.values() if not unlocked_by(method, given)]
