"""What a sparsifier keeps of one expert's delta, said in little memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.chunks import spans
from deltaworks.numerics.selection import Cut, Floats, Keys, keep_mask, zero_dropped

_NO_LENGTH = 1e-7


class Kept(Protocol):
    """What is kept of a delta."""

    def zero(self, piece: Floats, scratch: Keys, start: int) -> None:
        """Set to zero, in place, what is dropped.

        Args:
            piece: consecutive elements of the flat delta.
            scratch: at least as long.
            start: flat index of the first one.
        """


@dataclass(frozen=True, slots=True)
class Largest:
    """The magnitudes above a cut."""

    cut: Cut

    def zero(self, piece: Floats, scratch: Keys, start: int) -> None:
        """Set to zero what is dropped."""
        zero_dropped(piece, self.cut, scratch, start)


@dataclass(frozen=True, slots=True)
class Band:
    """The magnitudes above one cut, without those above another."""

    above: Cut
    without: Cut

    def zero(self, piece: Floats, scratch: Keys, start: int) -> None:
        """Set to zero what is dropped."""
        outliers = keep_mask(piece, self.without, start)
        zero_dropped(piece, self.above, scratch, start)
        piece[outliers] = 0.0


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

    def zero(self, piece: Floats, scratch: Keys, start: int) -> None:  # noqa: ARG002
        """Set to zero what is dropped; NaN and infinity stay to be noticed."""
        skipped = start % 8
        held = self.bits[start // 8 : -(-(start + len(piece)) // 8)]
        mask = np.unpackbits(held, count=skipped + len(piece), bitorder="little")[skipped:]
        np.multiply(piece, mask, out=piece)


def l1_factor(values: Floats, kept: Kept) -> float:
    """Sum of magnitudes before over after the drop; 1 when either is nothing."""
    before = after = 0.0
    keys = np.empty(1 << 17, dtype=np.int32)
    for span in spans(len(values)):
        piece = values[span].copy()
        before += float(np.abs(piece).sum(dtype=np.float64))
        kept.zero(piece, keys, span.start)
        after += float(np.abs(piece).sum(dtype=np.float64))
    return before / after if min(before, after) >= _NO_LENGTH else 1.0
