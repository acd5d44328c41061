"""A comparison of merges before it runs: its checks, its size, its names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from deltaworks.engine.checks import check_device, raise_together
from deltaworks.engine.inputs import open_input
from deltaworks.engine.plan_types import OutputPlan, Plan, WorkItem
from deltaworks.errors import AppError, FileError
from deltaworks.methods import merging_method
from deltaworks.options import read_options
from deltaworks.recipes.naming import display_name, distinct, setting_labels
from deltaworks.recipes.schema import ContestRecipe, MergeSetting
from deltaworks.studies.contest_defaults import default_settings

CONTEST_FILE = "comparison.json"


def expert_names(recipe: ContestRecipe) -> list[str]:
    """Name the experts for people."""
    return distinct([display_name(one.model.path, one.model.name) for one in recipe.experts])


def plan_contest(recipe: ContestRecipe) -> Plan:
    """Say what will be read and written at most at once, from headers alone.

    Raises:
        AppError: it cannot run; every fault that was found is in the text.
    """
    faults: list[AppError] = list(check_device(recipe.device))
    with ExitStack() as open_files:
        base = open_input(recipe.base.path, None, open_files, faults)
        experts = [open_input(one.model.path, base, open_files, faults) for one in recipe.experts]
        for setting in recipe.settings:
            faults += _setting_faults(setting)
        for path in filter(None, [recipe.evaluation, *(one.texts for one in recipe.experts)]):
            if not Path(path).exists():
                faults.append(FileError("is not there", where=path))
        target = Path(recipe.output) / CONTEST_FILE
        if target.exists():
            faults.append(
                FileError("exists already", where=str(target), fix="Choose another folder.")
            )
        raise_together(faults)
        models = [one for one in (base, *experts) if one is not None]
        settings = recipe.settings or default_settings()
        read = sum(model.nbytes for model in models)
        write = min(recipe.disk_bytes, models[0].nbytes * len(settings))
        items = (WorkItem("merges", "merging", read, write, recipe.memory_bytes),)
        outputs = (OutputPlan(recipe.output, models[0].nbytes, write),)
        title = recipe.title or f"Compare {len(settings)} merges of {len(experts)} experts"
        return Plan(title, items, outputs, original_bytes=read)


def _setting_faults(setting: MergeSetting) -> Iterator[AppError]:
    try:
        method = merging_method(setting.method)
        read_options(method.options, setting.options, where=f"method '{method.id}'")
        read_options(method.expert_options, setting.each, where=f"experts of '{method.id}'")
    except AppError as error:
        yield error


def entry_labels(settings: Sequence[MergeSetting]) -> list[str]:
    """Say what tells a setting from its siblings, the experts' options and sparsifiers too."""
    pairs = []
    for setting in settings:
        method = merging_method(setting.method)
        values = method.options(**setting.options).model_dump(mode="json")
        own = method.expert_options(**setting.each).model_dump(mode="json")
        pairs.append((method.id, {**own, **values}))
    labels = setting_labels(pairs)
    for place, setting in enumerate(settings):
        if setting.pre is not None:
            given = ", ".join(f"{name} {value:g}" for name, value in setting.pre.options.items())
            after = f"after {setting.pre.method} {given}".rstrip()
            labels[place] = ", ".join(part for part in (after, labels[place]) if part)
    return labels
