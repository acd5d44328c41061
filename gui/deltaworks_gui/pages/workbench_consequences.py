"""What follows from a change: which pairs to compare, whether to plan anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deltaworks.library.rows import ModelRow
from deltaworks_gui.pages.workbench_guard import GuardNews, Pair
from deltaworks_gui.pages.workbench_rules import why_not
from deltaworks_gui.pages.workbench_state import Guard, WorkbenchState


def with_guards(before: WorkbenchState, state: WorkbenchState) -> WorkbenchState:
    """Experts know about the base in the slot, and about no other."""
    same = (
        state.base is not None and before.base is not None and state.base.path == before.base.path
    )
    known = {one.row.path: one.guard for one in before.experts} if same else {}
    experts = tuple(
        replace(one, guard=_guard_of(state, one.row, one.guard if same else None, known))
        for one in state.experts
    )
    return replace(state, experts=experts)


def pairs_of(state: WorkbenchState) -> list[Pair]:
    """Base and expert of every card that has a guard."""
    base = state.base
    return [(base.path, one.row.path) for one in state.experts if one.guard] if base else []


def with_news(state: WorkbenchState, news: GuardNews) -> WorkbenchState:
    """A guard that heard what was found about its pair."""
    experts = tuple(
        replace(one, guard=_heard(one.guard or Guard(), news))
        if one.row.path == news.pair[1]
        else one
        for one in state.experts
    )
    return replace(state, experts=experts)


def asks_for_plan(before: WorkbenchState, after: WorkbenchState) -> bool:
    """Whether the plan may be another one."""
    return _question(before) != _question(after)


def can_be_planned(state: WorkbenchState) -> bool:
    """Whether there is something to plan: options are right, and models fit."""
    experts = tuple(
        replace(one, guard=replace(one.guard, anyway=True) if one.guard else None)
        for one in state.experts
    )
    return not why_not(replace(state, cost=None, many_allowed=True, experts=experts))


def _question(state: WorkbenchState) -> tuple[Any, ...]:
    experts = tuple((one.row.path, one.row.state, one.is_on, one.options) for one in state.experts)
    base = (state.base.path, state.base.state) if state.base else None
    tried = tuple((one, state.of(one)) for one in state.tried)
    return (
        state.operation, base, experts, tried, state.result, state.evaluation, state.keep,
        state.lane, state.given, tuple((name, row.path) for name, row in state.extras.items()),
    )  # fmt: skip


def _guard_of(
    state: WorkbenchState, row: ModelRow, own: Guard | None, known: Mapping[str, Guard | None]
) -> Guard | None:
    if state.base is None or state.base.path == row.path:
        return None
    return own or known.get(row.path) or Guard()


def _heard(guard: Guard, news: GuardNews) -> Guard:
    return replace(guard, match=news.match, is_final=news.is_final, error=news.error)
