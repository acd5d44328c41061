"""Compare all: every merge that can run, on the present base and experts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path

from deltaworks.errors import OptionError
from deltaworks.library.home import Home
from deltaworks.methods.merging import MERGING
from deltaworks.recipes.schema import ContestRecipe, MergeInput
from deltaworks.studies.contest_defaults import default_settings
from deltaworks.studies.contest_defaults import why_not as why_left_out
from deltaworks_gui.pages.workbench_recipe import MEGABYTE, plain_name, reference
from deltaworks_gui.pages.workbench_rules import guard_faults
from deltaworks_gui.pages.workbench_state import Chosen, WorkbenchState, is_usable
from deltaworks_gui.pages.workbench_words import tr

FEWEST = 2
_DISK_BYTES = 100_000_000_000
_TEXTS = frozenset({".txt", ".jsonl", ".json"})
"""Endings of evaluation sets that hold texts and no tasks."""


def why_no_contest(state: WorkbenchState) -> str:
    """What is in the way of comparing, one sentence; empty when it can run."""
    return next(_faults(state), "")


def _faults(state: WorkbenchState) -> Iterator[str]:
    if state.base is None:
        yield tr("Choose a base to compare merges.")
    if len(state.active) < FEWEST:
        yield tr("Tick at least {0} experts to compare merges.").format(FEWEST)
    rows = [one.row for one in state.active] + ([state.base] if state.base is not None else [])
    for row in rows:
        if not is_usable(row):
            yield tr("{0} cannot be read: {1}.").format(row.name, row.reason or row.state.lower())
    yield from guard_faults(state)
    if not has_tasks(state.evaluation):
        yield tr("Choose a folder of tasks under Compare on; merges are ranked by them.")


def has_tasks(evaluation: str) -> bool:
    """Whether a set can rank models: a folder of tasks, not texts. Touches no disk."""
    return bool(evaluation) and Path(evaluation).suffix.lower() not in _TEXTS


def contest_recipe(state: WorkbenchState, home: Home, now: datetime | None = None) -> ContestRecipe:
    """The comparison of what the Workbench shows, at every method's usual settings.

    Raises:
        ValueError: there is no base.
    """
    if state.base is None:
        raise ValueError("there is no base")
    values = state.result.values
    stamp = (now or datetime.now()).strftime("%Y%m%d-%H%M%S")
    folder = Path(values.get("folder") or home.sweeps)
    return ContestRecipe(
        base=reference(state.base),
        experts=tuple(
            MergeInput(model=reference(one.row), texts=one.options.get("texts", ""))
            for one in state.active
        ),
        evaluation=state.evaluation,
        seed=values.get("seed", 0),
        memory_bytes=values.get("memory_mb", 256) * MEGABYTE,
        device="cpu" if state.lane == "cpu" else f"cuda:{state.lane.removeprefix('gpu')}",
        disk_bytes=disk_bytes(state),
        title=tr("Merges of {0}").format(_who(state)),
        output=str(folder / f"{plain_name(state.base.name)}-merges-{stamp}"),
    )


def disk_bytes(state: WorkbenchState) -> int:
    """Most bytes of merged models at once: never more than half of what is free."""
    free = state.cost.disk_free if state.cost is not None else 0
    return max(MEGABYTE, min(_DISK_BYTES, free // 2)) if free else _DISK_BYTES


def contest_name(state: WorkbenchState) -> str:
    """``Compare merges of 3 experts``."""
    return tr("Compare merges of {0}").format(_who(state))


def _who(state: WorkbenchState) -> str:
    names = [expert.row.name for expert in state.active]
    return ", ".join(names) if len(names) <= 2 else tr("{0} experts").format(len(names))


@cache
def count_methods(n_experts: int) -> tuple[int, int]:
    """How many methods and settings would run, where there are texts of every task."""
    settings = [
        one
        for one in default_settings()
        if not why_left_out(MERGING[one.method], n_experts, has_texts=True)
    ]
    return len({one.method for one in settings}), len(settings)


def with_contest(state: WorkbenchState, recipe: ContestRecipe) -> WorkbenchState:
    """The state that a comparison describes, but for its inputs.

    Raises:
        OptionError: it says more than the Workbench has a place for.
    """
    if recipe.settings or recipe.search is not None:
        raise OptionError(
            "the Workbench has no place for a comparison's own settings or search",
            where="recipe",
            fix="Run it with 'deltaworks-cli run'; the result appears in Results.",
        )
    result = {"seed": recipe.seed, "memory_mb": recipe.memory_bytes // MEGABYTE}
    return replace(
        state,
        operation="merge",
        results={**state.results, "merge": Chosen(result)},
        evaluation=recipe.evaluation,
        memory_allowed=False,
    )
