"""Which merges a comparison tries when nobody says otherwise, and which it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deltaworks.methods.merging import MERGING
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.recipes.schema import MergeSetting, Setting

_GRIDS: Mapping[str, Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {
    "task-arithmetic": [({"scale": value}, {}) for value in (0.2, 0.3, 0.4, 0.5, 0.7, 1.0)],
    "ties": [({"scale": value}, {"density": 0.2}) for value in (0.3, 0.5, 0.7, 1.0)],
    "dare-linear": [({"scale": 0.5}, {"density": value}) for value in (0.5, 0.1)],
    "dare-ties": [({}, {"density": value}) for value in (0.5, 0.1)],
    "della": [({}, {"density": 0.5})],
    "della-linear": [({"scale": 0.5}, {"density": 0.5})],
    "breadcrumbs": [({"scale": 0.5}, {"density": 0.9})],
    "breadcrumbs-ties": [({"scale": 0.5}, {"density": 0.9})],
    "iso-c": [({"scale": value}, {}) for value in (1.0, 1.5)],
    "iso-cts": [({"scale": value}, {}) for value in (1.0, 1.5)],
    "wudi": [({"solver": "adam"}, {}), ({"solver": "exact"}, {})],
    "doge-ta": [({}, {}), ({"relative": True, "strength": 0.5}, {})],
    "consensus-ta": [({"scale": value}, {}) for value in (0.3, 0.7, 1.0)],
    "core-space": [({"rule": value}, {}) for value in ("tsv", "ties")],
    "knots": [({}, {}), ({"scale": 1.0, "density": 1.0}, {})],
}
"""Options of the merge and of every expert; other methods run at their defaults."""

_PRE: Mapping[str, Mapping[str, Any]] = {
    "dare": {"drop_rate": 0.5},
    "magnitude": {"density": 0.2},
    "impart": {"ratio": 4.0},
    "low-rank": {"rank": 16},
}
"""Sparsifiers that are tried before task arithmetic."""
_PRE_SCALE = 0.5


def default_settings() -> list[MergeSetting]:
    """Give every merging method at its usual settings, then the sparsifiers."""
    found = [
        MergeSetting(method=name, options=dict(options), each=dict(each))
        for name in MERGING
        for options, each in _GRIDS.get(name, [({}, {})])
    ]
    found += [
        MergeSetting(
            method="task-arithmetic",
            options={"scale": _PRE_SCALE},
            pre=Setting(method=name, options=dict(options)),
        )
        for name, options in _PRE.items()
    ]
    return found


def why_not(method: MergingMethod, n_experts: int, *, has_texts: bool) -> str:
    """Say why a method cannot take part; empty when it can.

    Args:
        method: of the table.
        n_experts: how many are merged.
        has_texts: whether there are texts of every expert's task.
    """
    needs = method.needs
    if n_experts < needs.min_experts:
        return f"takes at least {needs.min_experts} experts"
    if needs.max_experts is not None and n_experts > needs.max_experts:
        return f"takes at most {needs.max_experts} expert{'s' * (needs.max_experts > 1)}"
    if needs.statistics and not has_texts:
        return "needs texts of every expert's task"
    if method.group == "permutation":
        return "is for models that share no base"
    return ""
