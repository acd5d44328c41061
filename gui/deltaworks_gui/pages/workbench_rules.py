"""Why a job cannot run, in the order in which a person would mend it."""

from __future__ import annotations

from collections.abc import Iterator

from PySide6.QtCore import QCoreApplication

from deltaworks.engine.repair_plan import unlocked_by
from deltaworks.methods import METHODS
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Method
from deltaworks.methods.safety_record import SafetyMethod
from deltaworks_gui.formats import format_size
from deltaworks_gui.pages.workbench_cost import is_disk_short, memory_word
from deltaworks_gui.pages.workbench_recipe import calibrates, count_trials, faults_of, rule_faults
from deltaworks_gui.pages.workbench_state import WorkbenchState, infos_of, is_usable
from deltaworks_gui.status_bar import reserve_bytes
from deltaworks_gui.widgets.option_values import value_fault


def _tr(text: str) -> str:
    return QCoreApplication.translate("Workbench", text)


def why_not(state: WorkbenchState) -> str:
    """The first thing that is in the way, one sentence; empty when it can run."""
    for rule in (_inputs, guard_faults, _options, _amount, _machine):
        fault = next(rule(state), "")
        if fault:
            return fault
    return ""


def _inputs(state: WorkbenchState) -> Iterator[str]:
    needs = state.method.needs
    if state.base is None and needs.base:
        yield _tr("Choose a base.")
    if not state.active:
        yield (
            _tr("Choose at least one expert.")
            if not state.experts
            else _tr("Tick at least one expert.")
        )
    count = len(state.active)
    if count < needs.min_experts:
        yield _tr("{0} takes at least {1} experts.").format(state.method.title, needs.min_experts)
    if needs.max_experts is not None and count > needs.max_experts:
        yield _tr("{0} takes {1} expert at most; {2} are ticked.").format(
            state.method.title, needs.max_experts, count
        )
    yield from _lacks(state)
    rows = [expert.row for expert in state.active]
    for row in ([state.base] if state.base is not None else []) + rows:
        if not is_usable(row):
            yield _tr("{0} cannot be read: {1}.").format(row.name, row.reason or row.state.lower())
    for row in rows:
        if state.base is not None and row.path == state.base.path:
            yield _tr("{0} is base and expert at once.").format(row.name)


def _lacks(state: WorkbenchState) -> Iterator[str]:
    """Further models and files that the methods cannot do without."""
    for one in state.tried:
        if missing := missing_inputs(METHODS[one], state):
            yield _tr("{0} needs {1}.").format(METHODS[one].title, missing)
    if state.operation == "repair" and len(state.active) > 1:
        yield _tr("One fine-tune is repaired at a time; {0} are ticked.").format(len(state.active))


def missing_inputs(method: Method, state: WorkbenchState) -> str:
    """What would unlock a method, in words; empty when it can run."""
    if isinstance(method, SafetyMethod):
        return _tr(" and ").join(unlocked_by(method, state.has))
    if isinstance(method, MergingMethod):
        return _tr(" and ").join(_merge_lacks(method, state))
    return ""


def _merge_lacks(method: MergingMethod, state: WorkbenchState) -> Iterator[str]:
    """Base, number of experts, texts; nothing before there are experts."""
    needs, count = method.needs, len(state.active)
    if not count:
        return
    if needs.base and state.base is None:
        yield _tr("a base")
    if count < needs.min_experts:
        yield _tr("at least {0} experts").format(needs.min_experts)
    if needs.max_experts is not None and count > needs.max_experts:
        one = needs.max_experts == 1
        yield (_tr("one expert alone") if one else _tr("at most {0} experts")).format(
            needs.max_experts
        )
    without = [one.row.name for one in state.active if not one.options.get("texts")]
    if needs.statistics and without and not calibrates(state):
        yield _tr("texts of each expert's task (not yet of {0})").format(", ".join(without))


def guard_faults(state: WorkbenchState) -> Iterator[str]:
    """Experts that do not belong to the base, or may not."""
    for expert in state.active:
        guard = expert.guard
        if guard is None:
            continue
        if guard.level == "unreadable":
            yield guard.error
        if guard.level == "mismatch":
            yield _tr("{0} does not fit this base. Choose another base or take it out.").format(
                expert.row.name
            )
        if guard.level == "doubtful" and not guard.anyway:
            yield _tr("{0} may not belong to this base. Tick Run anyway beside it.").format(
                expert.row.name
            )


def _options(state: WorkbenchState) -> Iterator[str]:
    forms = [(METHODS[one].options, state.of(one), METHODS[one].title) for one in state.tried]
    forms.append((state.kind.result, state.result, ""))
    if state.kind.given is not None:
        forms.append((state.kind.given, state.given, ""))
    for options, chosen, title in forms:
        faults = faults_of(options, chosen)
        for info in infos_of(options):
            if info.name in faults:
                named = (
                    info.title if title in ("", state.method.title) else f"{title}, {info.title}"
                )
                yield f"{named}: {faults[info.name]}."
    values = state.result.values
    if values.get("calibrate") == "file" and not values.get("text"):
        yield _tr("Choose the file of texts to calibrate with, or take the bundled one.")
    for expert in state.active:
        for info in state.expert_infos:
            fault = expert_fault(state, expert.options.get(info.name, info.default), info.name)
            if fault:
                yield f"{expert.row.name}, {info.title}: {fault}."


def expert_fault(state: WorkbenchState, value: object, name: str) -> str:
    """What is wrong with an expert's own option."""
    info = next(one for one in state.expert_infos if one.name == name)
    return value_fault(info, value)


def _amount(state: WorkbenchState) -> Iterator[str]:
    count = count_trials(state)
    if count > state.cap and not state.many_allowed:
        yield _tr(
            "{0} trials are more than {1}. Tick Run all of them, or try fewer values."
        ).format(count, state.cap)
    else:
        yield from (f"{fault}." for fault in rule_faults(state))


def _machine(state: WorkbenchState) -> Iterator[str]:
    cost = state.cost
    if cost is None:
        return
    if cost.error:
        count = sum(check.level == "fault" for check in cost.checks)
        several = _tr("{0} checks failed: see Checked before.").format(count)
        yield several if count > 1 else cost.error
        return
    if is_disk_short(cost):
        yield _tr("Needs {0} and a reserve of {1} on disk; {2} are free.").format(
            format_size(cost.write),
            format_size(reserve_bytes(cost.disk_total)),
            format_size(cost.disk_free),
        )
    if memory_word(cost) == "will not fit" and not state.memory_allowed:
        yield _tr(
            "Needs {0} of memory; {1} are free. Tick Run anyway, or close other programs."
        ).format(format_size(cost.peak), format_size(cost.memory_free))
