"""Changes to what the Workbench holds: a state in, another one out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from deltaworks.library.demo import DemoSet
from deltaworks.library.rows import ModelRow
from deltaworks.recipes.schema import (
    ContestRecipe,
    MergeRecipe,
    ModelRef,
    RepairRecipe,
    RepairSweepRecipe,
)
from deltaworks.studies.defaults import default_settings
from deltaworks_gui.pages.workbench_recipe import JobRecipe
from deltaworks_gui.pages.workbench_rows import placeholder
from deltaworks_gui.pages.workbench_state import (
    OPERATIONS,
    Chosen,
    ExpertInput,
    Guard,
    WorkbenchState,
    default_choice,
    infos_of,
)
from deltaworks_gui.widgets.option_values import value_text

# --- inputs ---------------------------------------------------------------------------------


def with_inputs(
    state: WorkbenchState, base: ModelRow | None, experts: Sequence[ModelRow], operation: str
) -> WorkbenchState:
    """These inputs and no others."""
    cleared = replace(state, operation=operation, base=base, experts=(), memory_allowed=False)
    return with_experts(cleared, experts)


def with_base(state: WorkbenchState, row: ModelRow | None) -> WorkbenchState:
    """Another base, or none; it is no expert any more."""
    experts = tuple(one for one in state.experts if row is None or one.row.path != row.path)
    return replace(state, base=row, experts=experts)


def with_experts(state: WorkbenchState, rows: Sequence[ModelRow]) -> WorkbenchState:
    """More experts, each once; never the base."""
    known = {one.row.path for one in state.experts}
    if state.base is not None:
        known.add(state.base.path)
    added = []
    for row in rows:
        if row.path not in known:
            known.add(row.path)
            added.append(ExpertInput(row))
    return replace(state, experts=(*state.experts, *added))


def with_roles(state: WorkbenchState, rows: Sequence[ModelRow]) -> WorkbenchState:
    """More models: the first base among them takes its slot, the others are experts."""
    base = next((row for row in rows if row.role == "Base"), None)
    if base is not None:
        state = with_base(state, base)
    return with_experts(state, [row for row in rows if row is not base])


def without_expert(state: WorkbenchState, index: int) -> WorkbenchState:
    """One expert fewer."""
    return replace(state, experts=state.experts[:index] + state.experts[index + 1 :])


def with_moved(state: WorkbenchState, index: int, by: int) -> WorkbenchState:
    """An expert at another place."""
    experts = list(state.experts)
    target = min(max(index + by, 0), len(experts) - 1)
    experts.insert(target, experts.pop(index))
    return replace(state, experts=tuple(experts))


def with_enabled(state: WorkbenchState, index: int, is_on: bool) -> WorkbenchState:
    """An expert that takes part, or not."""
    return _with_expert(state, index, is_on=is_on)


def with_expert_option(state: WorkbenchState, index: int, name: str, value: Any) -> WorkbenchState:
    """One of an expert's own options, such as its weight."""
    options = {**state.experts[index].options, name: value}
    return _with_expert(state, index, options=options)


def with_anyway(state: WorkbenchState, index: int, anyway: bool) -> WorkbenchState:
    """A doubtful expert that is wanted all the same."""
    guard = state.experts[index].guard or Guard()
    return _with_expert(state, index, guard=replace(guard, anyway=anyway))


def with_rows(state: WorkbenchState, rows: Mapping[str, ModelRow]) -> WorkbenchState:
    """Rows that were read take the place of what was known of them."""
    base = state.base
    if base is not None and base.path in rows:
        base = rows[base.path]
    experts = tuple(replace(one, row=rows.get(one.row.path, one.row)) for one in state.experts)
    extras = {name: rows.get(one.path, one) for name, one in state.extras.items()}
    return replace(state, base=base, experts=experts, extras=extras)


def with_recipe_inputs(state: WorkbenchState, recipe: JobRecipe) -> WorkbenchState:
    """The inputs that a recipe names; the rows are read afterwards."""
    if isinstance(recipe, RepairRecipe | RepairSweepRecipe):
        models = {slot.id: getattr(recipe, slot.id) for slot in OPERATIONS["repair"].slots}
        extras = {name: _row(one, "Expert") for name, one in models.items() if one is not None}
        tuned = (ExpertInput(_row(recipe.tuned, "Expert")),)
        return replace(state, base=_row(recipe.aligned, "Base"), experts=tuned, extras=extras)
    base = _row(recipe.base, "Base") if recipe.base is not None else None
    if isinstance(recipe, MergeRecipe | ContestRecipe):
        experts = tuple(
            ExpertInput(
                _row(one.model, "Expert"),
                options={**one.options, **({"texts": one.texts} if one.texts else {})},
            )
            for one in recipe.experts
        )
    else:
        experts = tuple(ExpertInput(_row(one, "Expert")) for one in recipe.experts)
    return replace(state, base=base, experts=experts)


def paths_of(state: WorkbenchState) -> list[str]:
    """Places of all inputs."""
    rows = [*(one.row for one in state.experts), *state.extras.values()]
    return [row.path for row in ([state.base] if state.base else []) + rows]


def _row(reference: ModelRef, role: str) -> ModelRow:
    return placeholder(reference.path, role, reference.name)


def _with_expert(state: WorkbenchState, index: int, **changes: Any) -> WorkbenchState:
    experts = list(state.experts)
    experts[index] = replace(experts[index], **changes)
    return replace(state, experts=tuple(experts))


def with_demo(state: WorkbenchState, demo: DemoSet) -> WorkbenchState:
    """The demo: its base and experts, the sweep that is offered first, its own evaluation."""
    filled = with_inputs(
        state,
        placeholder(demo.base, "Base"),
        [placeholder(path, "Expert") for path in demo.experts],
        "compress",
    )
    primary = OPERATIONS["compress"].default_method
    tried = dict.fromkeys(setting.method for setting in default_settings())
    return replace(
        filled,
        methods={**filled.methods, "compress": primary},
        chosen={one: kept for one, kept in filled.chosen.items() if one not in tried},
        compared=tuple(one for one in tried if one != primary),
        results={**filled.results, "compress": Chosen()},
        evaluation=str(demo.evaluation),
        keep="front",
        many_allowed=False,
    )


# --- options --------------------------------------------------------------------------------


def with_method(state: WorkbenchState, method_id: str) -> WorkbenchState:
    """Another method; what was chosen of the one before stays for its return."""
    return replace(state, methods={**state.methods, state.operation: method_id})


def with_compared(state: WorkbenchState, method_id: str, compared: bool) -> WorkbenchState:
    """A method that the sweep tries beside the chosen one, or not."""
    rest = tuple(one for one in state.compared if one != method_id)
    return replace(state, compared=(*rest, method_id) if compared else rest)


def with_chosen(state: WorkbenchState, chosen: Chosen) -> WorkbenchState:
    """Another form of the chosen method."""
    return replace(state, chosen={**state.chosen, state.method.id: chosen}, many_allowed=False)


def with_value(state: WorkbenchState, name: str, value: Any) -> WorkbenchState:
    """One value of the chosen method."""
    now = state.of(state.method.id)
    return with_chosen(state, replace(now, values=_changed(state, now, name, value)))


def with_reset(state: WorkbenchState, name: str) -> WorkbenchState:
    """One option as the method declares it, with its list when it has one."""
    now, usual = state.of(state.method.id), default_choice(state.method.id)
    sweeps = {key: text for key, text in now.sweeps.items() if key != name}
    if name in usual.sweeps:
        sweeps[name] = usual.sweeps[name]
    values = {key: value for key, value in now.values.items() if key != name}
    return with_chosen(state, Chosen(values, sweeps))


def with_sweep(state: WorkbenchState, name: str, on: bool) -> WorkbenchState:
    """An option as a list, or as one value again."""
    now = state.of(state.method.id)
    sweeps = {key: text for key, text in now.sweeps.items() if key != name}
    if on:
        info = next(one for one in infos_of(state.method.options) if one.name == name)
        usual = default_choice(state.method.id).sweeps.get(name)
        sweeps[name] = usual or value_text(info, now.values.get(name, info.default))
    return with_chosen(state, replace(now, sweeps=sweeps))


def with_sweep_text(state: WorkbenchState, name: str, text: str) -> WorkbenchState:
    """Another list, as written."""
    now = state.of(state.method.id)
    return with_chosen(state, replace(now, sweeps={**now.sweeps, name: text}))


def with_extra(state: WorkbenchState, slot: str, row: ModelRow | None) -> WorkbenchState:
    """Another model in one of the operation's further slots, or none."""
    extras = {name: one for name, one in state.extras.items() if name != slot}
    return replace(state, extras=extras if row is None else {**extras, slot: row})


def with_given_value(state: WorkbenchState, name: str, value: Any) -> WorkbenchState:
    """One of the operation's further inputs; the default is not kept."""
    assert state.kind.given is not None
    info = next(one for one in infos_of(state.kind.given) if one.name == name)
    values = {key: one for key, one in state.given.values.items() if key != name}
    if value != info.default:
        values[name] = value
    key = f"{state.operation}:given"
    return replace(state, results={**state.results, key: Chosen(values)})


def with_result_value(state: WorkbenchState, name: str, value: Any) -> WorkbenchState:
    """One value of the operation's result; the default is not kept."""
    info = next(one for one in infos_of(state.kind.result) if one.name == name)
    values = {key: one for key, one in state.result.values.items() if key != name}
    if value != info.default:
        values[name] = value
    return replace(state, results={**state.results, state.operation: Chosen(values)})


def changed_options(state: WorkbenchState) -> dict[str, bool]:
    """Which options of the chosen method are not as it declares them."""
    now, usual = state.of(state.method.id), default_choice(state.method.id)
    return {
        info.name: info.name in now.values
        or now.sweeps.get(info.name) != usual.sweeps.get(info.name)
        for info in infos_of(state.method.options)
    }


def _changed(state: WorkbenchState, now: Chosen, name: str, value: Any) -> dict[str, Any]:
    info = next(one for one in infos_of(state.method.options) if one.name == name)
    values = {key: one for key, one in now.values.items() if key != name}
    return values if value == info.default else {**values, name: value}
