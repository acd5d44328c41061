"""What a sparsifier keeps of one expert's delta, said in little memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.selection import MAGNITUDE, Floats, Keys
from deltaworks.numerics.thresholds import Threshold

Zero = Callable[[Floats, Keys], None]
"""Sets to zero, in place, what is dropped of the next piece; the other is scratch."""

_TOP = np.int32(31)


class Kept(Protocol):
    """What is kept of a delta."""

    def zeroing(self) -> Zero:
        """Begin a pass over the flat delta: pieces follow in order."""


@dataclass(frozen=True, slots=True)
class Largest:
    """The magnitudes above a threshold."""

    threshold: Threshold

    def zeroing(self) -> Zero:
        """Begin a pass."""
        key, left = self.threshold.key, self.threshold.n_equal

        def zero(piece: Floats, scratch: Keys) -> None:
            nonlocal left
            place = 0
            keys = scratch[: len(piece)]
            _keys_of(piece, keys)
            if left:
                place, left = _place_of(keys, key, left)
                _zero_up_to(piece[:place], keys[:place], key - 1)
            _zero_up_to(piece[place:], keys[place:], key)

        return zero if key >= 0 else _keep_all


@dataclass(frozen=True, slots=True)
class Band:
    """The magnitudes above one threshold, without those above another.

    Of equal magnitudes the first are the smaller ones, as in a stable ascending sort: the
    first of those at the lower end are dropped, the first of those at the upper end kept.
    """

    above: Threshold
    without: Threshold

    def zeroing(self) -> Zero:
        """Begin a pass."""
        low, high = self.above.key, self.without.key
        n_dropped = self.above.n_same - self.above.n_equal
        n_kept = self.without.n_same - self.without.n_equal

        def zero(piece: Floats, scratch: Keys) -> None:
            nonlocal n_dropped, n_kept
            keys, place = scratch[: len(piece)], 0
            # The upper end first: its equals are counted before any becomes zero.
            _keys_of(piece, keys)
            if n_kept:
                place, n_kept = _place_of(keys, high, n_kept)
                _zero_from(piece[:place], keys[:place], high + 1)
            _zero_from(piece[place:], keys[place:], high)
            _keys_of(piece, keys)
            place = 0
            if n_dropped:
                place, n_dropped = _place_of(keys, low, n_dropped)
                _zero_up_to(piece[:place], keys[:place], low)
            _zero_up_to(piece[place:], keys[place:], low - 1)

        return zero


@dataclass(frozen=True, slots=True)
class Chosen:
    """A mask, as bits.

    Args:
        bits: ``ceil(n / 8)`` bytes, the lowest bit first.
    """

    bits: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, mask: npt.NDArray[np.bool_]) -> Chosen:
        """Pack a flat mask."""
        return cls(np.packbits(mask, bitorder="little"))

    def zeroing(self) -> Zero:
        """Begin a pass; NaN and infinity stay to be noticed."""
        start = 0

        def zero(piece: Floats, scratch: Keys) -> None:
            nonlocal start
            skipped, end = start % 8, start + len(piece)
            held = self.bits[start // 8 : -(-end // 8)]
            mask = np.unpackbits(held, count=skipped + len(piece), bitorder="little")[skipped:]
            factors = scratch[: len(piece)].view(np.float32)
            np.copyto(factors, mask)
            np.multiply(piece, factors, out=piece)
            start = end

        return zero


def _keep_all(piece: Floats, scratch: Keys) -> None:
    """Drop nothing."""


def _keys_of(piece: Floats, keys: Keys) -> None:
    np.bitwise_and(piece.view(np.int32), MAGNITUDE, out=keys)


def _place_of(keys: Keys, key: int, left: int) -> tuple[int, int]:
    """Give the index up to which equal keys are among those left, and how many are left then."""
    equal = keys == key
    here = int(np.count_nonzero(equal))
    if here <= left:
        return len(keys), left - here
    return int(np.flatnonzero(equal)[left - 1]) + 1, 0


def _zero_up_to(values: Floats, keys: Keys, key: int) -> None:
    """Set to zero what has a key up to this one; the keys are written over."""
    np.subtract(np.int32(key), keys, out=keys)
    # Negative where the key is larger: the shift smears the sign into a mask of ones.
    np.right_shift(keys, _TOP, out=keys)
    bits = values.view(np.int32)
    np.bitwise_and(bits, keys, out=bits)


def _zero_from(values: Floats, keys: Keys, key: int) -> None:
    """Set to zero what has this key or a larger one; the keys are written over."""
    if key > int(MAGNITUDE):
        return
    np.subtract(keys, np.int32(key), out=keys)
    np.right_shift(keys, _TOP, out=keys)
    bits = values.view(np.int32)
    np.bitwise_and(bits, keys, out=bits)
