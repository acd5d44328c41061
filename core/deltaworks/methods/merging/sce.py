"""SCE: select where the experts differ most, calculate weights, erase the minority's signs.

Source: Wan et al., "FuseChat", arXiv:2408.07990; arcee-ai/mergekit 0.1.5, method ``sce``.
Departure: of equal variances the ones with the lowest flat index are kept.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from deltaworks.methods.merging.kept import Largest
from deltaworks.methods.merging.pieces import Delta, base_of
from deltaworks.methods.merging.task_vectors import N_BUFFERS, agree, sum_for
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.selection import Keys
from deltaworks.numerics.thresholds import Threshold, share_threshold
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs
    from deltaworks.numerics.rounding import Floats

_NO_ENERGY = 1e-6
_SMALLEST_DIVISOR = np.float32(1e-6)
_NOTHING, _HALF = np.float32(0.0), np.float32(0.5)
_PAIR = 2
_PIECE = 1 << 15


class SceOptions(Options):
    """Options of SCE."""

    select_topk: float = option(
        1.0,
        gt=0.0,
        le=1.0,
        unit="fraction",
        title="Selected share",
        help="Share of the weights on which the experts differ that is merged, the ones "
        "that differ most. The rest stays as in the base. 1 merges everything.",
        step=0.05,
        sweepable=True,
        sweep=(0.1, 0.5, 1.0),
    )


class SceExpertOptions(Options):
    """Weights are calculated."""


def stream(inputs: StreamInputs, options: SceOptions) -> Fill:
    """Give the base plus the agreeing selected deltas, weighted by their mean square."""
    base, exact = base_of(inputs), inputs.arithmetic
    together = _Together(inputs)
    threshold = None
    if options.select_topk < 1.0 and len(base):
        threshold = share_threshold(
            _Variance(together),
            options.select_topk,
            partial(_n_selected, options.select_topk) if exact.is_mergekit else None,
        )
    weights = _weights(together, threshold)
    rows = inputs.room.rows(len(inputs.experts) + 4)
    select = _Selection(together, threshold)

    def fill(span: slice, out: Floats) -> None:
        count = span.stop - span.start
        start, total, shared, bits = rows[:4, :count]
        deltas, keys = rows[4 : 4 + len(weights), :count], bits.view(np.int32)
        together.read(span, start, deltas)
        select.zero_dropped(deltas, total, shared, keys)
        np.add(deltas[0], _NOTHING, out=total)
        for delta in deltas[1:]:
            np.add(total, delta, out=total)
        for delta, weight in zip(deltas, weights, strict=True):
            np.multiply(delta, weight, out=delta)
            exact.round(delta)
        agree(deltas, weights, total, shared, keys, out)
        exact.round(out)
        exact.round(shared)
        np.maximum(shared, _SMALLEST_DIVISOR, out=shared)
        np.divide(out, shared, out=out)
        exact.round(out)
        np.add(out, start, out=out)
        exact.round(out)

    return fill


def _n_selected(share: float, n_others: int) -> int:
    """Give the share of a count as mergekit does: in float32, and down to nothing."""
    return int(np.float32(n_others) * np.float32(share))


class _Together:
    """All experts' deltas of a piece."""

    def __init__(self, inputs: StreamInputs) -> None:
        self.base, self.exact = base_of(inputs), inputs.arithmetic
        self._deltas = [
            Delta(self.base, expert, self.exact, np.empty((0, 0), dtype=np.float32))
            for expert in inputs.experts
        ]

    def __len__(self) -> int:
        return len(self.base)

    @property
    def n_experts(self) -> int:
        return len(self._deltas)

    def read(self, span: slice, start: Floats, deltas: Floats) -> None:
        """Write the base and the deltas of a span."""
        self.base.into(span, start)
        for delta, row in zip(self._deltas, deltas, strict=True):
            delta.onto(span, start, row)

    def sample(self, step: int) -> Floats:
        """Give every ``step``-th number of all deltas."""
        return np.stack([delta.sample(step) for delta in self._deltas])

    def spread(self, deltas: Floats, mean: Floats, gap: Floats, out: Floats) -> None:
        """Write the variance over the experts; the other arrays are scratch."""
        if self.exact.is_mergekit:
            spread_once(deltas, out)
            self.exact.round(out)
            return
        if len(deltas) == _PAIR:
            np.subtract(deltas[0], deltas[1], out=gap)
            np.multiply(gap, _HALF, out=gap)
            np.multiply(gap, gap, out=out)
            return
        np.add(deltas[0], _NOTHING, out=mean)
        for delta in deltas[1:]:
            np.add(mean, delta, out=mean)
        np.divide(mean, np.float32(len(deltas)), out=mean)
        out.fill(0.0)
        for delta in deltas:
            np.subtract(delta, mean, out=gap)
            np.multiply(gap, gap, out=gap)
            np.add(out, gap, out=out)
        np.divide(out, np.float32(len(deltas)), out=out)


def spread_once(deltas: Floats, out: Floats) -> None:
    """Write the variance over the experts, in float64 and rounded once, as torch does."""
    if len(deltas) == _PAIR:
        wide, other = deltas[0].astype(np.float64), deltas[1].astype(np.float64)
        np.subtract(wide, other, out=wide)
        np.multiply(wide, 0.5, out=wide)
        np.multiply(wide, wide, out=wide)
        np.copyto(out, wide, casting="same_kind")
        return
    mean, squares = deltas[0].astype(np.float64), np.zeros(len(out))
    for number, delta in enumerate(deltas[1:], 2):
        gap = delta - mean
        mean += gap / number
        squares += gap * (delta - mean)
    np.divide(squares, len(deltas), out=squares)
    np.copyto(out, squares, casting="same_kind")


class _Variance:
    """The variance over the experts, piece by piece."""

    def __init__(self, together: _Together) -> None:
        self._together = together
        self._rows = np.empty((together.n_experts + 3, _PIECE), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._together)

    def piece(self, span: slice) -> Floats:
        """Give the variance of a span."""
        out: Floats = self._rows[2, : span.stop - span.start]
        start, gap = self._rows[:2, : len(out)]
        deltas = self._rows[3:, : len(out)]
        self._together.read(span, start, deltas)
        self._together.spread(deltas, start, gap, out)
        return out

    def sample(self, step: int) -> Floats:
        """Give every ``step``-th variance."""
        deltas = self._together.sample(step)
        mean, gap, out = np.empty((3, deltas.shape[1]), dtype=np.float32)
        self._together.spread(deltas, mean, gap, out)
        return out


class _Selection:
    """Which weights are merged; a pass over all pieces in order."""

    def __init__(self, together: _Together, threshold: Threshold | None) -> None:
        self._together = together
        self._zero = None if threshold is None else Largest(threshold).zeroing()

    def zero_dropped(self, deltas: Floats, mean: Floats, gap: Floats, keys: Keys) -> None:
        """Set to zero what is not selected; NaN stays to be noticed."""
        if self._zero is None:
            return
        variance = np.empty_like(mean)
        self._together.spread(deltas, mean, gap, variance)
        self._zero(variance, keys)
        np.not_equal(variance, _NOTHING, out=variance, casting="unsafe")
        for delta in deltas:
            np.multiply(delta, variance, out=delta)


def _weights(together: _Together, threshold: Threshold | None) -> list[np.float32]:
    """Give each expert's share of the mean squares; equal shares where there is nothing."""
    exact = together.exact
    squares = [sum_for(exact, len(together)) for _ in range(together.n_experts)]
    rows = np.empty((together.n_experts + 3, _PIECE), dtype=np.float32)
    select = _Selection(together, threshold)
    for span in spans(len(together), _PIECE):
        start, mean, gap = rows[:3, : span.stop - span.start]
        deltas = rows[3:, : len(start)]
        together.read(span, start, deltas)
        select.zero_dropped(deltas, mean, gap, start.view(np.int32))
        for number, delta in enumerate(deltas):
            np.multiply(delta, delta, out=delta)
            exact.round(delta)
            squares[number].add(delta)
    count = max(1, len(together))
    means = [exact.number(float(one.result()) / count) for one in squares]
    all_means = sum_for(exact, len(means))
    all_means.add(np.array(means))
    total = float(exact.number(float(all_means.result())))
    if abs(total) < _NO_ENERGY:
        return [exact.number(1.0 / len(means))] * len(means)
    return [exact.number(float(mean) / total) for mean in means]


METHOD = MergingMethod(
    id="sce",
    title="SCE",
    family="merging",
    group="magnitude",
    cost="N n, one selection",
    summary="Merges where experts differ most, weighs them by their change, lets signs vote.",
    source="arXiv:2408.07990, mergekit 0.1.5",
    options=SceOptions,
    expert_options=SceExpertOptions,
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    stream=stream,
    working_bytes=0,
    n_buffers=N_BUFFERS,
)
