"""Scores of merges: by task, on average, and as a share of what each task's expert can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from deltaworks.evaluation.own_task import PREFIX
from deltaworks.studies.contest_record import Score

if TYPE_CHECKING:
    from deltaworks.evaluation import Measure

Scores = dict[str, Score]


def scores_of(measures: Mapping[str, Measure]) -> Scores:
    """Take the accuracies by task."""
    return {
        name.removeprefix(PREFIX): Score(one.value, one.low, one.high, one.n)
        for name, one in measures.items()
        if name.startswith(PREFIX)
    }


def average(scores: Mapping[str, Score]) -> float | None:
    """Give the mean over tasks; None without tasks."""
    return sum(one.value for one in scores.values()) / len(scores) if scores else None


def owners(base: Mapping[str, Score], experts: Sequence[Mapping[str, Score]]) -> dict[str, int]:
    """Give every task the expert that does it best, the first of equal ones.

    Args:
        base: its scores.
        experts: theirs, in the recipe's order.

    Returns:
        Task to place; tasks that no expert does better than the base have none.
    """
    found = {}
    for task, score in base.items():
        place = max(range(len(experts)), key=lambda index: experts[index][task].value)
        if experts[place][task].value > score.value:
            found[task] = place
    return found


def normalised(
    scores: Mapping[str, Score], experts: Sequence[Mapping[str, Score]], whose: Mapping[str, int]
) -> float | None:
    """Give the mean over owned tasks of the score as a share of the owner's."""
    shares = [
        scores[task].value / experts[place][task].value
        for task, place in whose.items()
        if experts[place][task].value
    ]
    return sum(shares) / len(shares) if shares else None


def switched(models: Sequence[Mapping[str, Score]], whose: Mapping[str, int]) -> Scores:
    """Let every task be done by the model of its owner, of none's by the first."""
    return {task: models[whose.get(task, 0)][task] for task in models[0]}
