"""Where the k largest magnitudes end, of numbers that are never in memory together.

Magnitudes of float32 numbers are compared as integers (``selection``). A sample brackets
the threshold; one pass counts what lies above the bracket and collects what lies inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Protocol

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.chunks import spans
from deltaworks.numerics.selection import MAGNITUDE, Floats, Keys

INFINITE = 0x7F800000
"""Keys from here on are those of infinity and NaN."""
NOTHING = 0x7FFFFFFF
"""A key that is larger than any other: nothing is kept."""
_SAMPLE = 1 << 11
_MOST_COLLECTED = 1 << 21
_PIECE = 1 << 15
_NOTHING, _ONE = np.int32(0), np.int32(1)


class Numbers(Protocol):
    """Flat numbers that are computed piece by piece, as often as wanted."""

    def __len__(self) -> int: ...

    def piece(self, span: slice) -> Floats:
        """Give the numbers of a span of at most 2^15; the next call may write over them."""

    def sample(self, step: int) -> Floats:
        """Give every ``step``-th number."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where the kept magnitudes end.

    Args:
        key: magnitudes with larger keys are kept, smaller ones are dropped.
        n_equal: how many with this very key are kept, those with the lowest indices.
        n_same: how many have this very key.
    """

    key: int
    n_equal: int = 0
    n_same: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """Thresholds, and what else the pass has seen.

    Args:
        thresholds: in the order of what was asked for.
        largest: key; from ``INFINITE`` on there is infinity or NaN among the numbers.
    """

    thresholds: tuple[Threshold, ...]
    largest: int


def find_thresholds(numbers: Numbers, keeps: Sequence[int]) -> Found:
    """Find for every count the threshold that keeps exactly so many.

    Args:
        numbers: read once after a sample; once more where a bracket missed.
        keeps: how many to keep, each 0 to their count.
    """
    count = len(numbers)
    if not count:
        return Found(tuple(Threshold(NOTHING) for _ in keeps), 0)
    sample = _keys(numbers.sample(_step(count)))
    brackets = [_bracket(sample, count, keep) for keep in keeps]
    largest, _ = _count(numbers, brackets)
    return Found(tuple(_settled(numbers, brackets)), largest)


def share_threshold(
    numbers: Numbers, share: float, n_kept: Callable[[int], int] | None = None
) -> Threshold:
    """Find the threshold that keeps ``int(share n)`` of the n numbers that are not zero.

    Args:
        numbers: at least one; read once after a sample, once more where the bracket missed.
        share: above 0 and below 1.
        n_kept: how many are kept of n, where it is not this; otherwise one of them is kept
            at least, should there be any.
    """
    count = len(numbers)
    sample = _keys(numbers.sample(_step(count)))
    guess = int(share * np.count_nonzero(sample) / len(sample) * count)
    bracket = _bracket(sample, count, min(max(1, guess), count - 1))
    _, n_zeros = _count(numbers, [bracket])
    n_others = count - n_zeros
    if n_kept is not None:
        bracket.keep = n_kept(n_others)
    else:
        bracket.keep = max(1, int(n_others * share)) if n_others else 0
    (found,) = _settled(numbers, [bracket])
    return found


def _settled(numbers: Numbers, brackets: Sequence[_Bracket]) -> Iterator[Threshold]:
    """Look again where a bracket missed; give the thresholds."""
    missed = [one for one in brackets if one.misses]
    if missed:
        histogram = _histogram(numbers)
        for one in missed:
            one.take_bin(histogram)
        _count(numbers, missed)
    for one in brackets:
        yield one.threshold()


def _step(count: int) -> int:
    """Choose an odd step, so that no power of two in the numbers' order goes along.

    The sample grows so that sorting it costs about as much as a wider bracket would.
    """
    return max(1, count // max(_SAMPLE, int(1.5 * count ** (2 / 3)))) | 1


def _keys(numbers: Floats) -> Keys:
    return np.bitwise_and(numbers.view(np.int32), MAGNITUDE)


@dataclass(slots=True)
class _Bracket:
    """Keys between which a threshold is looked for, and what lies there.

    Numbers on a coarse grid, as differences of rounded ones are, have few keys: those at
    the two ends are counted, and only what lies between them is collected.

    Args:
        keep: how many numbers are to be kept; may be set again after the pass.
        count: of all numbers.
        low: smallest key of the bracket.
        high: largest key of the bracket.
        above: numbers with larger keys.
        at_high: numbers with the largest key.
        at_low: numbers with the smallest key, should it be another.
        n_between: numbers with other keys of the bracket.
        n_held: of these, how many are in ``between``.
        between: their keys less ``low``, in any order.
        tallies: keys and how often they were seen, of those that are held no more.
    """

    keep: int
    count: int
    low: int
    high: int
    above: int = 0
    at_high: int = 0
    at_low: int = 0
    n_between: int = 0
    n_held: int = 0
    between: list[Keys] = field(default_factory=list)
    tallies: list[tuple[Keys, npt.NDArray[np.int64]]] = field(default_factory=list)

    @property
    def is_trivial(self) -> bool:
        return not 0 < self.keep < self.count

    @property
    def misses(self) -> bool:
        inside = self.at_high + self.n_between + self.at_low
        return not self.is_trivial and not 0 < self.keep - self.above <= inside

    def take_bin(self, histogram: npt.NDArray[np.int64]) -> None:
        """Look in the bin of the high halves that the threshold is in."""
        from_top = np.cumsum(histogram[::-1])
        bin_of = len(histogram) - 1 - int(np.searchsorted(from_top, self.keep))
        self.low, self.high = bin_of << 16, (bin_of << 16) | 0xFFFF
        self.above = self.at_high = self.at_low = self.n_between = self.n_held = 0
        self.between, self.tallies = [], []

    def take(self, keys: Keys, scratch: Keys, mask: npt.NDArray[np.bool_]) -> None:
        """Look at some keys."""
        np.subtract(keys, np.int32(self.low), out=scratch)
        width = np.int32(self.high - self.low)
        np.greater(scratch, width, out=mask)
        self.above += int(np.count_nonzero(mask))
        np.equal(scratch, width, out=mask)
        self.at_high += int(np.count_nonzero(mask))
        if not width:
            return
        np.equal(scratch, _NOTHING, out=mask)
        self.at_low += int(np.count_nonzero(mask))
        # Unsigned distance from the key after the smallest: one comparison for both ends.
        np.subtract(scratch, _ONE, out=scratch)
        np.less(scratch.view(np.uint32), width.astype(np.uint32) - np.uint32(1), out=mask)
        found = scratch[np.flatnonzero(mask)]
        self.n_between += len(found)
        self.n_held += len(found)
        self.between.append(found)
        if self.n_held > _MOST_COLLECTED:
            self._tally()

    def _tally(self) -> None:
        """Hold equal keys once."""
        self.tallies.append(np.unique(np.concatenate(self.between), return_counts=True))
        if len(self.tallies) > 1:
            keys, places = np.unique(
                np.concatenate([keys for keys, _ in self.tallies]), return_inverse=True
            )
            counts = np.zeros(len(keys), dtype=np.int64)
            np.add.at(counts, places, np.concatenate([many for _, many in self.tallies]))
            self.tallies = [(keys, counts)]
        self.between, self.n_held = [], 0

    def threshold(self) -> Threshold:
        if self.keep <= 0:
            return Threshold(NOTHING)
        if self.keep >= self.count:
            return Threshold(-1)
        wanted = self.keep - self.above
        if wanted <= self.at_high:
            return Threshold(self.high, wanted, self.at_high)
        wanted -= self.at_high
        if wanted > self.n_between:
            return Threshold(self.low, wanted - self.n_between, self.at_low)
        key, n_equal, n_same = self._between(wanted)
        return Threshold(key + self.low + 1, n_equal, n_same)

    def _between(self, wanted: int) -> tuple[int, int, int]:
        """Give the key of the ``wanted``-th largest collected, its equals to keep, and all."""
        if not self.tallies:
            held = np.concatenate(self.between)
            place = len(held) - wanted
            held.partition(place)
            larger = int(np.count_nonzero(held[place:] > held[place]))
            return int(held[place]), wanted - larger, int(np.count_nonzero(held == held[place]))
        if self.between:
            self._tally()
        keys, counts = self.tallies[0]
        from_top = np.cumsum(counts[::-1])
        place = int(np.searchsorted(from_top, wanted))
        larger = int(from_top[place - 1]) if place else 0
        return int(keys[::-1][place]), wanted - larger, int(counts[::-1][place])


def _bracket(sample: Keys, count: int, keep: int) -> _Bracket:
    """Bracket the threshold by six standard errors of its rank in a sample, put in order."""
    size, share = len(sample), 1.0 - keep / count
    slack = 6.0 * sqrt(max(0.0, share * (1.0 - share)) * size) + 2.0
    first, last = int(share * size - slack), int(share * size + slack)
    sample.partition([min(max(first, 0), size - 1), min(last, size - 1)])
    low = int(sample[first]) if first >= 0 else 0
    return _Bracket(keep, count, low, int(sample[last]) if last < size else NOTHING)


def _count(numbers: Numbers, brackets: Sequence[_Bracket]) -> tuple[int, int]:
    """Count above and collect inside; give the largest key, and count the zeros."""
    largest = n_zeros = 0
    keys, scratch = np.empty((2, _PIECE), dtype=np.int32)
    mask = np.empty(_PIECE, dtype=np.bool_)
    wanted = [one for one in brackets if not one.is_trivial]
    for span in spans(len(numbers), _PIECE):
        many = span.stop - span.start
        np.bitwise_and(numbers.piece(span).view(np.int32), MAGNITUDE, out=keys[:many])
        largest = max(largest, int(keys[:many].max()))
        n_zeros += many - int(np.count_nonzero(keys[:many]))
        for one in wanted:
            one.take(keys[:many], scratch[:many], mask[:many])
    return largest, n_zeros


def _histogram(numbers: Numbers) -> npt.NDArray[np.int64]:
    """Count the high halves of all keys."""
    total = np.zeros(1 << 15, dtype=np.int64)
    for span in spans(len(numbers), _PIECE):
        total += np.bincount(_keys(numbers.piece(span)) >> 16, minlength=1 << 15)
    return total
