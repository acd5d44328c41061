"""Search for the coefficients of a merge: spread out first, then closer to the best.

The first half of the trials fills the space evenly; the second half draws around the best
so far, ever closer. A seed and the scores decide every step, so a search can be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deltaworks.methods.merging_record import MergingMethod
from deltaworks.numerics.seeds import rng_for
from deltaworks.options import describe

SEARCHED = {"scale": (0.1, 2.0), "weight": (0.2, 1.5), "density": (0.05, 1.0)}
"""Options that are searched, and between which values."""
_BATCH = 4
"""Merges made in one pass over the files while the search closes in."""
_FIRST_WIDTH, _LAST_WIDTH = 0.25, 0.05
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53)


@dataclass(frozen=True, slots=True)
class Axis:
    """One coefficient.

    Args:
        option: its name.
        expert: place of the expert it belongs to; -1 when all share it.
        low: smallest value; ``high`` the largest.
    """

    option: str
    expert: int
    low: float
    high: float

    @property
    def name(self) -> str:
        """For records: ``scale``, ``weight 2``."""
        return self.option if self.expert < 0 else f"{self.option} {self.expert + 1}"


def axes_of(method: MergingMethod, n_experts: int) -> list[Axis]:
    """List what can be searched: the scale, and each expert's weight and density."""
    found = []
    for info in describe(method.options):
        if info.name in SEARCHED and info.kind == "real":
            found.append(Axis(info.name, -1, *SEARCHED[info.name]))
    for info in describe(method.expert_options):
        if info.name not in SEARCHED or info.kind != "real":
            continue
        # One density serves all: with one for each expert the space would be too large.
        places = range(n_experts) if info.name == "weight" else [-1]
        found += [Axis(info.name, place, *SEARCHED[info.name]) for place in places]
    return found[: len(_PRIMES)]


def as_options(
    method: MergingMethod, values: Mapping[str, float], axes: Sequence[Axis], n_experts: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Turn coefficients into options of the merge and of each expert."""
    shared: dict[str, Any] = {}
    each: list[dict[str, Any]] = [{} for _ in range(n_experts)]
    own = method.expert_options.model_fields
    for axis in axes:
        value = values[axis.name]
        if axis.expert >= 0:
            each[axis.expert][axis.option] = value
        elif axis.option in own:
            for one in each:
                one[axis.option] = value
        else:
            shared[axis.option] = value
    return shared, each


@dataclass
class Search:
    """One method's search: asks for scores of points, and tells what it has found.

    Args:
        axes: what is searched.
        trials: how many points in all.
        seed: of the draws.
        start: values to try first, by axis; the method's usual ones.
    """

    axes: Sequence[Axis]
    trials: int
    seed: int = 0
    start: Mapping[str, float] = field(default_factory=dict)
    tried: list[tuple[dict[str, float], float | None]] = field(default_factory=list)

    def ask(self) -> list[dict[str, float]]:
        """Give the next points; none when the budget is spent."""
        left = self.trials - len(self.tried)
        first = self.trials // 2
        if left <= 0 or not self.axes:
            return []
        if len(self.tried) < first:
            return [self._spread(number) for number in range(first)]
        return [self._near(len(self.tried) + number) for number in range(min(_BATCH, left))]

    def tell(self, points: Sequence[dict[str, float]], scores: Sequence[float | None]) -> None:
        """Note the scores of the points that were asked for; None for one that failed."""
        self.tried += list(zip(points, scores, strict=True))

    @property
    def best(self) -> tuple[dict[str, float], float] | None:
        """The best point so far, the first of equal ones."""
        known = [(point, score) for point, score in self.tried if score is not None]
        return max(known, key=lambda one: one[1]) if known else None

    def _spread(self, number: int) -> dict[str, float]:
        """Give a point of a Halton sequence; the first one is the start."""
        if number == 0 and self.start:
            return self._point([self._share(axis) for axis in self.axes])
        return self._point([_halton(number, prime) for prime in _PRIMES[: len(self.axes)]])

    def _share(self, axis: Axis) -> float:
        value = self.start.get(axis.name, (axis.low + axis.high) / 2)
        return min(max((value - axis.low) / (axis.high - axis.low), 0.0), 1.0)

    def _near(self, number: int) -> dict[str, float]:
        """Draw around the best point; the width shrinks to the end of the budget."""
        if self.best is None:
            return self._spread(number)
        done = (number - self.trials // 2) / max(1, self.trials - self.trials // 2)
        width = _FIRST_WIDTH * (_LAST_WIDTH / _FIRST_WIDTH) ** done
        rng = rng_for(self.seed, f"coefficients {number}")
        centre = [
            (self.best[0][axis.name] - axis.low) / (axis.high - axis.low) for axis in self.axes
        ]
        drawn = np.array(centre) + width * rng.uniform(-1.0, 1.0, len(self.axes))
        return self._point(np.clip(drawn, 0.0, 1.0).tolist())

    def _point(self, shares: Sequence[float]) -> dict[str, float]:
        return {
            axis.name: round(axis.low + share * (axis.high - axis.low), 4)
            for axis, share in zip(self.axes, shares, strict=True)
        }


def _halton(number: int, prime: int) -> float:
    share, fraction = 0.0, 1.0
    while number:
        fraction /= prime
        number, digit = divmod(number, prime)
        share += fraction * digit
    return share
