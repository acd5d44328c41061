"""From what the Workbench holds to a recipe, and back."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication

from deltaworks.errors import OptionError
from deltaworks.library.home import Home
from deltaworks.library.rows import ModelRow
from deltaworks.methods import METHODS
from deltaworks.options import OptionInfo, Options, read_options
from deltaworks.recipes.patterns import varies
from deltaworks.recipes.schema import (
    Calibration,
    CompressRecipe,
    ContestRecipe,
    MergeInput,
    MergeRecipe,
    ModelRef,
    RepairRecipe,
    RepairSweepRecipe,
    Setting,
    SweepRecipe,
)
from deltaworks_gui.pages.workbench_forms import MergeResult
from deltaworks_gui.pages.workbench_state import (
    Chosen,
    WorkbenchState,
    infos_of,
    reads_texts,
)
from deltaworks_gui.widgets.option_values import list_text, parse_list, value_fault
from deltaworks_resources import calibration_text

JobRecipe = (
    CompressRecipe | SweepRecipe | MergeRecipe | ContestRecipe | RepairRecipe | RepairSweepRecipe
)

FormRecipe = CompressRecipe | SweepRecipe | MergeRecipe | RepairRecipe | RepairSweepRecipe
"""Those that the forms describe; a comparison only takes the inputs."""

MEGABYTE, _GIGABYTE = 1_000_000, 1_000_000_000
_NAME_LIMIT = 80
_AS_READ = "merge:as-read"
_SHOWN = ("numerics", "vocabulary", "chat_template")
"""Fields of a merge that the result's form shows under their own names."""
_KEPT = ("dtype", "pre", "calibration")
"""Fields of a merge that no form shows, kept as an opened recipe says them."""


def _tr(text: str) -> str:
    return QCoreApplication.translate("Workbench", text)


# --- what a form means ----------------------------------------------------------------------


def faults_of(options: type[Options], chosen: Chosen) -> dict[str, str]:
    """What is wrong with a form, by option."""
    faults = {}
    for info in infos_of(options):
        if info.name in chosen.sweeps:
            fault = parse_list(info, chosen.sweeps[info.name]).fault
        else:
            fault = value_fault(info, chosen.values.get(info.name, info.default))
        if fault:
            faults[info.name] = fault
    return faults


def combinations(options: type[Options], chosen: Chosen) -> list[dict[str, Any]]:
    """Every combination of the listed values, each with the other values that were changed."""
    swept = [info for info in infos_of(options) if info.name in chosen.sweeps]
    lists = [parse_list(info, chosen.sweeps[info.name]).values for info in swept]
    fixed = {name: value for name, value in chosen.values.items() if name not in chosen.sweeps}
    return [
        {**fixed, **dict(zip((info.name for info in swept), values, strict=True))}
        for values in product(*lists)
    ]


def count_settings(options: type[Options], chosen: Chosen) -> int:
    """How many combinations there are, without making them."""
    swept = (info for info in infos_of(options) if info.name in chosen.sweeps)
    return math.prod(len(parse_list(info, chosen.sweeps[info.name]).values) for info in swept)


def count_trials(state: WorkbenchState) -> int:
    """Trials of all methods on all experts that take part; 1 for what is no sweep."""
    if not state.kind.can_sweep:
        return 1
    settings = sum(count_settings(METHODS[one].options, state.of(one)) for one in state.tried)
    return settings * len(state.active)


def settings_of(state: WorkbenchState) -> tuple[Setting, ...]:
    """The settings that the job tries."""
    return tuple(
        Setting(method=one, options=options)
        for one in state.tried
        for options in combinations(METHODS[one].options, state.of(one))
    )


def rule_faults(state: WorkbenchState) -> list[str]:
    """What the methods themselves refuse, beyond single bounds."""
    faults = []
    for setting in settings_of(state):
        try:
            read_options(METHODS[setting.method].options, setting.options, where=setting.method)
        except OptionError as error:
            faults.append(f"{METHODS[setting.method].title}: {error.what}")
    return list(dict.fromkeys(faults))


# --- the recipe -----------------------------------------------------------------------------


def make_recipe(state: WorkbenchState, home: Home, now: datetime | None = None) -> JobRecipe:
    """The recipe of what the Workbench shows.

    One setting whose file shall be kept and that is measured on nothing is a plain
    compression; everything else is a sweep.

    Raises:
        ValueError: there is no base where one is needed, or no expert.
    """
    if not state.active:
        raise ValueError("no expert takes part")
    if state.operation == "merge":
        return _merge(state, home)
    if state.base is None:
        raise ValueError("there is no base")
    if state.operation == "repair":
        return _repair(state, home, now)
    settings = settings_of(state)
    shared: dict[str, Any] = {
        "base": reference(state.base),
        "experts": tuple(reference(expert.row) for expert in state.active),
        "settings": settings,
        "scope": state.result.values.get("scope", "linear2d"),
        "calibration": _calibration(state),
        **_common(state),
    }
    folder = state.result.values.get("folder")
    name = f"{plain_name(state.base.name)}-{(now or datetime.now()).strftime('%Y%m%d-%H%M%S')}"
    if len(settings) == 1 and state.keep == "all" and not state.evaluation:
        return CompressRecipe(**shared, output=str(Path(folder or home.store) / name))
    return SweepRecipe(
        **shared,
        evaluation=state.evaluation,
        keep=state.keep,
        max_loss=state.result.values.get("max_loss", 0.02),
        title=_sweep_title(state),
        output=str(Path(folder or home.sweeps) / name),
    )


def _repair(
    state: WorkbenchState, home: Home, now: datetime | None
) -> RepairRecipe | RepairSweepRecipe:
    """One setting that is measured on nothing makes a model; everything else is a sweep."""
    assert state.base is not None
    values, tuned = state.result.values, state.active[0].row
    settings = settings_of(state)
    shared: dict[str, Any] = {
        "aligned": reference(state.base),
        "tuned": reference(tuned),
        **{name: reference(row) for name, row in state.extras.items()},
        **state.given.values,
        "other_tensors": values.get("others", "method"),
        "cache": str(home.root / "statistics"),
        **_common(state),
    }
    folder = Path(values.get("folder") or home.store)
    if len(settings) == 1 and not state.evaluation:
        name = plain_name(f"{tuned.name} {state.method.id}")
        return RepairRecipe(**shared, setting=settings[0], output=str(folder / name))
    stamp = (now or datetime.now()).strftime("%Y%m%d-%H%M%S")
    return RepairSweepRecipe(
        **shared,
        settings=settings,
        evaluation=state.evaluation,
        target=values.get("target", 0.95),
        keep=state.keep,
        title=_tr("Repair of {0}").format(tuned.name),
        output=str(Path(values.get("folder") or home.sweeps) / f"{plain_name(tuned.name)}-{stamp}"),
    )


def job_name(state: WorkbenchState) -> str:
    """``Compress 2 experts · sweep``."""
    count = len(state.active)
    who = state.active[0].row.name if count == 1 else _tr("{0} experts").format(count)
    verb = _tr(state.kind.title)
    several = state.kind.can_sweep and len(settings_of(state)) > 1
    return f"{verb} {who} · {_tr('sweep') if several else state.method.title}"


def _merge(state: WorkbenchState, home: Home) -> MergeRecipe:
    values = state.result.values
    name = str(values.get("name") or "").strip()
    if not name:
        name = "+".join(expert.row.name for expert in state.active) + f" {state.method.id}"
    dtype = values.get("dtype", "same")
    known = {info.name for info in state.expert_infos} - {"texts"}
    has_texts = reads_texts(state.method)
    return MergeRecipe(
        base=reference(state.base) if state.base is not None else None,
        experts=tuple(
            MergeInput(
                model=reference(expert.row),
                options={one: value for one, value in expert.options.items() if one in known},
                texts=expert.options.get("texts", "") if has_texts else "",
            )
            for expert in state.active
        ),
        setting=Setting(method=state.method.id, options=dict(state.of(state.method.id).values)),
        out_dtype="" if dtype == "same" else dtype,
        shard_bytes=round(values.get("shard_gb", 5.0) * _GIGABYTE),
        output=str(Path(values.get("folder") or home.store) / plain_name(name)),
        **{field: values[field] for field in _SHOWN if field in values},
        **_as_read(state),
        **_common(state),
    )


def _as_read(state: WorkbenchState) -> dict[str, Any]:
    """What a recipe that was opened says beyond the forms, while its method is chosen."""
    values = dict(state.results.get(_AS_READ, Chosen()).values)
    return values if values.pop("method", "") == state.method.id else {}


def calibrates(state: WorkbenchState) -> bool:
    """Whether a recipe that was opened names texts for all experts together."""
    given = _as_read(state).get("calibration") if state.operation == "merge" else None
    return isinstance(given, Calibration) and bool(given.text)


def _common(state: WorkbenchState) -> dict[str, Any]:
    values = state.result.values
    return {
        "seed": values.get("seed", 0),
        "memory_bytes": values.get("memory_mb", 256) * MEGABYTE,
        "device": "cpu" if state.lane == "cpu" else f"cuda:{state.lane.removeprefix('gpu')}",
        "note": _overrides(state),
    }


def _calibration(state: WorkbenchState) -> Calibration:
    """The texts that run through the experts first; none unless the user asked."""
    values = state.result.values
    choice = values.get("calibrate", "none")
    if choice == "none":
        return Calibration()
    bundled = str(calibration_text("default"))
    return Calibration(text=bundled if choice == "bundled" else values.get("text", ""))


def _overrides(state: WorkbenchState) -> str:
    """What the user wanted although the guard warned."""
    return " ".join(
        f"Run anyway: {expert.row.name} ({expert.guard.match.text})."
        for expert in state.active
        if expert.guard is not None
        and expert.guard.match is not None
        and expert.guard.level == "doubtful"
    )


def _sweep_title(state: WorkbenchState) -> str:
    names = [expert.row.name for expert in state.active]
    who = ", ".join(names) if len(names) <= 2 else _tr("{0} experts").format(len(names))
    tried = state.tried
    how = METHODS[tried[0]].title if len(tried) == 1 else _tr("{0} methods").format(len(tried))
    return f"{who} · {how}"


def reference(row: ModelRow) -> ModelRef:
    """A model as recipes name it."""
    return ModelRef(path=row.path, content=row.content, name=row.name)


def plain_name(name: str) -> str:
    """A name that every file system takes."""
    text = re.sub(r"[^\w.+ -]+", "-", name).strip(" .-")
    return text[:_NAME_LIMIT] or "result"


def free_place(recipe: JobRecipe) -> JobRecipe:
    """The same recipe with an output that does not exist yet: ``name 2``."""
    wanted, place, number = Path(recipe.output), Path(recipe.output), 2
    while place.exists():
        place, number = wanted.with_name(f"{wanted.name} {number}"), number + 1
    return recipe.model_copy(update={"output": str(place)})


# --- the way back ---------------------------------------------------------------------------


def choices_from(settings: Sequence[Setting]) -> tuple[dict[str, Chosen], bool]:
    """What forms would make these settings, by method in order.

    Returns:
        The choices, and whether they make exactly these settings. Values that were not
        varied against each other become a grid, which tries more.
    """
    by_method: dict[str, list[Mapping[str, Any]]] = {}
    for setting in settings:
        by_method.setdefault(setting.method, []).append(setting.options)
    chosen = {one: _choice(infos_of(METHODS[one].options), sets) for one, sets in by_method.items()}
    made = {
        (one, _key(options))
        for one, choice in chosen.items()
        for options in combinations(METHODS[one].options, choice)
    }
    asked = {(setting.method, _key(setting.options)) for setting in settings}
    return chosen, made == asked


def _choice(infos: Iterable[OptionInfo], sets: Sequence[Mapping[str, Any]]) -> Chosen:
    values, sweeps = {}, {}
    for info in infos:
        found = list(dict.fromkeys(one.get(info.name, info.default) for one in sets))
        if len(found) > 1:
            sweeps[info.name] = list_text(info, found)
        elif any(info.name in one for one in sets):
            values[info.name] = found[0]
    return Chosen(values, sweeps)


def _key(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(options.items()))


def _refuse_without_form(recipe: MergeRecipe) -> None:
    """Refuse a merge of which the forms would lose something.

    Raises:
        OptionError: it has slices, adapters, values that differ between layers, or a
            tokenizer to build.
    """
    options = [recipe.setting.options, *(expert.options for expert in recipe.experts)]
    found = {
        "slices": bool(recipe.slices or recipe.modules),
        "a tokenizer to build": recipe.tokenizer is not None,
        "adapters over models": any(expert.model.adapter for expert in recipe.experts),
        "values that differ between layers": any(
            varies(value) for values in options for value in values.values()
        ),
    }
    lacking = [name for name, is_there in found.items() if is_there]
    if lacking:
        raise OptionError(
            f"the Workbench has no place for {', '.join(lacking)}",
            where="recipe",
            fix="Run it with 'deltaworks-cli merge'; the result appears in the Library.",
        )


def with_recipe(state: WorkbenchState, recipe: FormRecipe) -> tuple[WorkbenchState, bool]:
    """The state that a recipe describes, but for its inputs, and whether it is exact."""
    if isinstance(recipe, RepairRecipe | RepairSweepRecipe):
        return _with_repair(state, recipe)
    if isinstance(recipe, MergeRecipe):
        _refuse_without_form(recipe)
        method = recipe.setting.method
        kept = {name: getattr(recipe, name) for name in _KEPT}
        state = replace(
            state, results={**state.results, _AS_READ: Chosen({"method": method, **kept})}
        )
        result: dict[str, Any] = {"shard_gb": recipe.shard_bytes / _GIGABYTE}
        if recipe.out_dtype:
            result["dtype"] = recipe.out_dtype
        usual = {info.name: info.default for info in infos_of(MergeResult)}
        result |= {
            field: value for field in _SHOWN if (value := getattr(recipe, field)) != usual[field]
        }
        chosen, exact = {method: Chosen(dict(recipe.setting.options))}, True
        operation, compared, keep, evaluation = (
            "merge",
            state.compared,
            state.keep,
            state.evaluation,
        )
    else:
        chosen, exact = choices_from(recipe.settings)
        operation, result = "compress", {"scope": recipe.scope}
        if recipe.calibration.text:
            is_ours = recipe.calibration.text == str(calibration_text("default"))
            result["calibrate"] = "bundled" if is_ours else "file"
            result |= {} if is_ours else {"text": recipe.calibration.text}
        method, *others = chosen
        compared = tuple(others)
        sweep = recipe if isinstance(recipe, SweepRecipe) else None
        keep = sweep.keep if sweep else "all"
        evaluation = sweep.evaluation if sweep else ""
        if sweep:
            result["max_loss"] = sweep.max_loss
    result |= {"seed": recipe.seed, "memory_mb": recipe.memory_bytes // MEGABYTE}
    return (
        replace(
            state,
            operation=operation,
            methods={**state.methods, operation: method},
            chosen={**state.chosen, **chosen},
            compared=compared,
            results={**state.results, operation: Chosen(result)},
            keep=keep,
            evaluation=evaluation,
            many_allowed=False,
            memory_allowed=False,
        ),
        exact,
    )


def _with_repair(
    state: WorkbenchState, recipe: RepairRecipe | RepairSweepRecipe
) -> tuple[WorkbenchState, bool]:
    is_sweep = isinstance(recipe, RepairSweepRecipe)
    settings = recipe.settings if isinstance(recipe, RepairSweepRecipe) else (recipe.setting,)
    chosen, exact = choices_from(settings)
    method, *others = chosen
    result: dict[str, Any] = {"others": recipe.other_tensors, "seed": recipe.seed}
    result["memory_mb"] = recipe.memory_bytes // MEGABYTE
    evaluation = ""
    keep = state.keep
    if isinstance(recipe, RepairSweepRecipe):
        result["target"], evaluation, keep = recipe.target, recipe.evaluation, recipe.keep
    texts = ("safety", "task", "harmful", "samples", "tokens")
    given = {name: getattr(recipe, name) for name in texts}
    rest = tuple(one for one in state.compared if one not in METHODS or one not in chosen)
    return (
        replace(
            state,
            operation="repair",
            methods={**state.methods, "repair": method},
            chosen={**state.chosen, **chosen},
            compared=(*rest, *others) if is_sweep else rest,
            results={
                **state.results,
                "repair": Chosen(result),
                "repair:given": Chosen(given),
            },
            keep=keep,
            evaluation=evaluation,
            many_allowed=False,
            memory_allowed=False,
        ),
        exact,
    )
