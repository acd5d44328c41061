"""A uniform quantiser around zero whose choices weigh error against bits.

Values are given in units of the step, so the levels are the whole numbers but for two
shifts: level 1 and all higher ones stand at the mean of what they gather. Choices are
entropy-constrained (RDOQ): of the two nearest levels and zero the one with the least
``error + eta * bits`` is taken, where bits are those of the tables that such choices give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.chunks import spans
from deltaworks.numerics.context_coding import (
    N_CONTEXTS,
    TOP,
    Bytes,
    Counts,
    Numbers,
    count_classes,
    fit_tables,
)

Floats = npt.NDArray[np.float32]

_FIRST_ZONE = 0.6
_PASSES = 3
_ESCAPE_BITS = 8.0
_FAR = 64.0
_RARER = 2.0
_SAMPLE = 1 << 17
_LOWEST, _FIRST_GRAIN = 0.5, 1.5 / 255
_LATER_GRAIN = 1.0 / 256


@dataclass(frozen=True, slots=True)
class Levels:
    """Where levels stand, as two bytes; ``first`` is level 1, ``later`` shifts the others."""

    first: int
    later: int

    @property
    def one(self) -> np.float32:
        """Value of level 1."""
        return np.float32(_LOWEST + self.first * _FIRST_GRAIN)

    @property
    def shift(self) -> np.float32:
        """How far levels from 2 on stand above their number."""
        return np.float32((self.later - 128) * _LATER_GRAIN)

    def values(self, numbers: Numbers) -> Floats:
        """Give the values of quantised numbers, in steps."""
        shift = self.shift
        table = np.arange(TOP + 1, dtype=np.float32) + shift
        table[:2] = 0.0, self.one
        magnitudes = np.abs(numbers)
        found = table[np.minimum(magnitudes, TOP)]
        large = magnitudes > TOP
        if large.any():
            found[large] = magnitudes[large].astype(np.float32) + shift
        signed: Floats = np.copysign(found, numbers.astype(np.float32))
        return signed

    def error(self, values: Floats, numbers: Numbers) -> float:
        """Sum of squared errors, in squared steps."""
        gap = values - self.values(numbers)
        return float(gap.ravel() @ gap.ravel())


@dataclass(frozen=True, slots=True)
class Quantised:
    """Whole numbers of a shape, where their levels stand, and the bits they will take."""

    numbers: Numbers
    levels: Levels
    bits: float


def quantise(values: Floats, contexts: Bytes, eta: float) -> Quantised:
    """Quantise values given in steps.

    Prices and levels settle on a sample of large arrays; the last choice is made for all.

    Args:
        values: any shape, finite.
        contexts: of the same shape; they decide which table a number is coded with.
        eta: squared steps that a bit is worth.
    """
    flat, places = values.reshape(-1), contexts.reshape(-1)
    stride = len(flat) // _SAMPLE + 1
    stride += 1 - stride % 2  # an odd one meets all columns of most matrices
    prices, levels = _settle(flat[::stride], places[::stride], eta)
    numbers = np.empty(len(flat), dtype=np.int32)
    counts = np.zeros((N_CONTEXTS, TOP + 1), dtype=np.int64)
    for span in spans(len(flat)):
        mine, where = flat[span], places[span]
        chosen = _choose(np.abs(mine), where, prices, levels)
        counts += count_classes(chosen, where)
        numbers[span] = np.where(mine < 0, -chosen, chosen)
    return Quantised(numbers.reshape(values.shape), levels, coded_bits(counts))


def _settle(values: Floats, contexts: Bytes, eta: float) -> tuple[Floats, Levels]:
    """Find prices and levels that agree with the choices they lead to."""
    sizes = np.abs(values)
    numbers = (sizes + np.float32(1.0 - _FIRST_ZONE)).astype(np.int32)
    levels = _levels(sizes, numbers)
    prices = np.zeros((N_CONTEXTS, TOP + 1), dtype=np.float32)
    for _ in range(_PASSES):
        prices = np.float32(eta) * _lengths(count_classes(numbers, contexts))
        numbers = _choose(sizes, contexts, prices, levels)
        levels = _levels(sizes, numbers)
    return prices, levels


def coded_bits(counts: Counts) -> float:
    """Bits that numbers of these counts take with their tables and signs."""
    bits = 0.0
    for table in fit_tables(counts):
        mine = counts[table.first : table.last + 1].sum(axis=0)
        n_classes = len(table.frequencies)
        bits += float(mine[:n_classes] @ table.bits) + table.table_bits
    return bits + float(counts[:, 1:].sum()) + _ESCAPE_BITS * float(counts[:, TOP].sum())


def _lengths(counts: Counts) -> Floats:
    """Bits of every class in every context, with its sign."""
    lengths = np.full((N_CONTEXTS, TOP + 1), _FAR, dtype=np.float32)
    for table in fit_tables(counts):
        n_classes = len(table.frequencies)
        span = slice(table.first, table.last + 1)
        lengths[span, :n_classes] = table.bits
        lengths[span, 1:n_classes] += 1.0
        # What a sample has not met may be there all the same.
        lengths[span, n_classes:] = 16.0 + _RARER * np.arange(TOP + 1 - n_classes)
    lengths[:, TOP] += _ESCAPE_BITS
    return lengths


def _choose(sizes: Floats, contexts: Bytes, prices: Floats, levels: Levels) -> Numbers:
    """Give the cheapest magnitude of each size among the two nearest levels and zero."""
    one, shift = levels.one, levels.shift
    stands = np.arange(1, TOP + 1, dtype=np.float32) + shift
    stands[0] = one
    # Above this size the cheapest level is not zero.
    ends = (np.square(stands) + prices[:, 1:] - prices[:, :1]) / (2.0 * stands)
    chosen = np.zeros(len(sizes), dtype=np.int32)
    places = np.flatnonzero(sizes > ends.min(axis=1)[contexts])
    large, where = sizes[places], contexts[places]
    low = np.maximum(large.astype(np.int32), 1)
    near = large - np.where(low == 1, one, low.astype(np.float32) + shift)
    far = large - (low + np.float32(1.0) + shift)
    lower = near * near + prices[where, np.minimum(low, TOP)]
    upper = far * far + prices[where, np.minimum(low + 1, TOP)]
    chosen[places] = low + (upper < lower)
    return chosen


def _levels(sizes: Floats, magnitudes: Numbers) -> Levels:
    is_one, is_more = magnitudes == 1, magnitudes > 1
    first = float(sizes[is_one].mean()) if is_one.any() else 1.0
    later = float((sizes[is_more] - magnitudes[is_more]).mean()) if is_more.any() else 0.0
    return Levels(
        int(np.clip(np.rint((first - _LOWEST) / _FIRST_GRAIN), 0, 255)),
        int(np.clip(np.rint(later / _LATER_GRAIN) + 128, 0, 255)),
    )
