"""Which coefficients a comparison searches, where it begins, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deltaworks.methods import merging_method
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.recipes.schema import MergeSetting
from deltaworks.studies.coefficient_search import Search, as_options, axes_of
from deltaworks.studies.contest_record import Entry, SearchTrial


@dataclass(frozen=True, slots=True)
class Candidate:
    """A merge with coefficients.

    Args:
        setting: method and shared options.
        each: options of each expert.
        label: the coefficients, for people.
    """

    setting: MergeSetting
    each: list[dict[str, Any]]
    label: str


Score = Callable[[Sequence[Candidate]], "list[float | None]"]
"""Merges and measures some candidates together."""


def best_to_search(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Name the best method so far that has coefficients."""
    ranked = sorted(
        (one for one in entries if one.average is not None and not one.switches),
        key=lambda one: -(one.average or 0.0),
    )
    found = [one.method for one in ranked if axes_of(merging_method(one.method), 1)]
    return tuple(found[:1])


def search_coefficients(
    method: MergingMethod,
    entries: Sequence[Entry],
    score: Score,
    *,
    n_experts: int,
    trials: int,
    seed: int,
) -> Iterator[SearchTrial | Candidate]:
    """Search one method's coefficients.

    Args:
        method: with at least one coefficient.
        entries: what is known already; the search begins where the method did best.
        score: measures candidates on the items for choosing.
        n_experts: that are merged.
        trials: how many candidates in all.
        seed: of the draws.

    Yields:
        Every trial in turn, then the best candidate, if any could be measured.
    """
    axes = axes_of(method, n_experts)
    start, options = _start(method, entries, n_experts)
    search = Search(axes, trials, seed, start)

    def candidate(point: dict[str, float]) -> Candidate:
        shared, each = as_options(method, point, axes, n_experts)
        setting = MergeSetting(method=method.id, options={**options, **shared})
        return Candidate(setting, each, ", ".join(f"{k} {v:g}" for k, v in point.items()))

    while points := search.ask():
        scores = score([candidate(point) for point in points])
        for point, value in zip(points, scores, strict=True):
            before = search.best
            is_best = value is not None and (before is None or value > before[1])
            search.tell([point], [value])
            yield SearchTrial(len(search.tried), method.id, point, value, is_best)
    if search.best is not None:
        yield candidate(search.best[0])


def _start(
    method: MergingMethod, entries: Sequence[Entry], n_experts: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Begin where the method did best; keep its other options."""
    done = [
        one
        for one in entries
        if one.method == method.id and one.average is not None and one.pre is None
    ]
    if not done:
        return {}, {}
    best = max(done, key=lambda one: one.average or 0.0)
    own = {**method.expert_options().model_dump(), **(best.each[0] if best.each else {})}
    start: dict[str, float] = {}
    for axis in axes_of(method, n_experts):
        value = best.options.get(axis.option, own.get(axis.option))
        if value is not None:
            start[axis.name] = float(value)
    return start, dict(best.options)
