"""What methods with global statistics share: surveys of one tensor, and exact ranks of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deltaworks.methods.merging_record import MergeSurvey
from deltaworks.numerics.global_ranks import (
    Counts,
    Floats,
    coarse_counts,
    fine_counts,
    joined,
    locate,
    ordered_keys,
)

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import MergeInputs

Pooled = dict[str, Any]
"""What surveys know, by name; each one adds to what the ones before it found."""
ByExpert = dict[int, Any]
"""A statistic of every expert, by its place in the recipe."""


def pooled_for(inputs: MergeInputs, surveys: Sequence[MergeSurvey], options: Any) -> Any:
    """Give what was found in all tensors, or survey this one alone as the whole model."""
    pooled = inputs.pooled
    if pooled is not None:
        return pooled
    for survey in surveys:
        found = survey.gather(replace(inputs, pooled=pooled), options)
        pooled = survey.finish(found, options, pooled)
    return pooled


def places(inputs: MergeInputs) -> list[int]:
    """Give the experts' places in the recipe."""
    return [
        index if expert.place < 0 else expert.place for index, expert in enumerate(inputs.experts)
    ]


def add_by_expert(total: ByExpert, found: ByExpert) -> ByExpert:
    """Add statistics up, expert by expert."""
    for place, value in found.items():
        total[place] = total[place] + value if place in total else value
    return total


Values = Callable[["MergeInputs", Any], "list[Floats]"]
"""Inputs and options to the flat numbers of every expert that are to be ranked."""
Ranks = Callable[[int, Any], "list[int]"]
"""A count and options to the ascending ranks that are wanted."""


def rank_surveys(name: str, values: Values, ranks: Ranks) -> tuple[MergeSurvey, MergeSurvey]:
    """Make two surveys that find exact order statistics over all tensors.

    ``pooled[name][place]`` is then the list of the values at the wanted ranks, and
    ``pooled[name + ".count"][place]`` how many numbers there are.

    Args:
        name: of the entry.
        values: what is ranked; may look into ``pooled`` of earlier surveys.
        ranks: which ranks are wanted; those outside are moved to the ends.
    """

    def wanted(count: int, options: Any) -> list[int]:
        return [min(max(rank, 0), count - 1) for rank in ranks(count, options)]

    def count(inputs: MergeInputs, options: Any) -> ByExpert:
        arrays = values(inputs, options)
        pairs = zip(places(inputs), arrays, strict=True)
        return {place: coarse_counts(ordered_keys(array)) for place, array in pairs}

    def bracket(found: ByExpert, options: Any, before: Pooled | None) -> Pooled:
        counts = {place: int(array.sum()) for place, array in found.items()}
        halves = {
            place: [locate(array, rank) for rank in wanted(counts[place], options)]
            if counts[place]
            else []
            for place, array in found.items()
        }
        return {**(before or {}), f"{name}.count": counts, f"{name}.halves": halves}

    def count_inside(inputs: MergeInputs, options: Any) -> ByExpert:
        found: dict[int, _Inside] = {}
        for place, array in zip(places(inputs), values(inputs, options), strict=True):
            keys = ordered_keys(array)
            uppers = {upper for upper, _ in inputs.pooled[f"{name}.halves"][place]}
            found[place] = _Inside({upper: fine_counts(keys, upper) for upper in uppers})
        return found

    def find(found: ByExpert, options: Any, before: Pooled) -> Pooled:  # noqa: ARG001
        exact = {
            place: [
                joined(upper, locate(found[place].counts[upper], rank)[0]) for upper, rank in halves
            ]
            for place, halves in before[f"{name}.halves"].items()
        }
        return {**before, name: exact}

    return (
        MergeSurvey(gather=count, finish=bracket, add=add_by_expert),
        MergeSurvey(gather=count_inside, finish=find, add=add_by_expert),
    )


class _Inside:
    """Counts of lower halves, by upper half."""

    def __init__(self, counts: dict[int, Counts]) -> None:
        self.counts = counts

    def __add__(self, other: _Inside) -> _Inside:
        return _Inside({upper: self.counts[upper] + other.counts[upper] for upper in self.counts})
