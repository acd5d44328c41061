"""SCE: select where the experts differ most, calculate weights, erase the minority's signs.

Source: Wan et al., "FuseChat", arXiv:2408.07990; arcee-ai/mergekit 0.1.5, method ``sce``.
Departure: of equal variances the ones with the lowest flat index are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deltaworks.methods.merging.kernel import checked, flat_base, flat_experts
from deltaworks.methods.merging.task_vectors import agree
from deltaworks.methods.method import MergingMethod
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.selection import Cut, Floats, keep_mask, magnitude_cut
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from deltaworks.methods.method import MergeInputs

_NO_ENERGY = 1e-6
_SMALLEST_DIVISOR = np.float32(1e-6)
_EVERYTHING = Cut(-1, -1)
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


def merge(inputs: MergeInputs, options: SceOptions) -> Tensor:
    """Give the base plus the agreeing selected deltas, weighted by their mean square."""
    import torch

    base, experts = flat_base(inputs), flat_experts(inputs)
    out = torch.zeros(base.numel())
    values = out.numpy()
    cut = _EVERYTHING
    # Infinity minus infinity is NaN, which is found and refused at the end.
    with np.errstate(invalid="ignore", over="ignore"):
        if options.select_topk < 1.0 and len(out):
            for span, deltas, _ in _pieces(base, experts):
                deltas.var(axis=0, out=values[span])
            n_different = int(np.count_nonzero(values))
            keep = max(1, int(n_different * options.select_topk)) if n_different else 0
            cut = magnitude_cut(values, keep)
        weights = _weights(base, experts, values, cut)
        for span, deltas, start in _pieces(base, experts):
            _select(deltas, values[span], cut, span.start)
            _merge_piece(deltas, weights, values[span])
            values[span] += start
    return checked(out, inputs)


def _pieces(base: Tensor, experts: list[Tensor]) -> Iterator[tuple[slice, Floats, Floats]]:
    """Give every piece's place, deltas and base; the arrays are used again."""
    import torch

    buffer = np.empty((len(experts), _PIECE), dtype=np.float32)
    starts = np.empty(_PIECE, dtype=np.float32)
    for span in spans(base.numel(), _PIECE):
        count = span.stop - span.start
        start, deltas = starts[:count], buffer[:, :count]
        torch.from_numpy(start).copy_(base[span])
        for delta, expert in zip(deltas, experts, strict=True):
            torch.from_numpy(delta).copy_(expert[span])
        deltas -= start
        yield span, deltas, start


def _select(deltas: Floats, variance: Floats, cut: Cut, start: int) -> None:
    """Set to zero what is not selected; NaN stays to be noticed."""
    if cut is not _EVERYTHING:
        deltas *= keep_mask(variance, cut, start)


def _weights(base: Tensor, experts: list[Tensor], variance: Floats, cut: Cut) -> list[float]:
    """Give each expert's share of the mean squares; equal shares where there is nothing."""
    squares = np.zeros(len(experts))
    for span, deltas, _ in _pieces(base, experts):
        _select(deltas, variance[span], cut, span.start)
        squares += np.square(deltas, dtype=np.float64).sum(axis=1)
    means = squares / max(1, base.numel())
    if abs(means.sum()) < _NO_ENERGY:
        return [1.0 / len(experts)] * len(experts)
    shares: list[float] = (means / means.sum()).tolist()
    return shares


def _merge_piece(deltas: Floats, weights: list[float], out: Floats) -> None:
    """Average the deltas with the majority's sign, by weight, into ``out``."""
    total = np.zeros_like(out)
    for delta in deltas:
        total += delta
    for delta, weight in zip(deltas, weights, strict=True):
        delta *= np.float32(weight)
    divisor, keys = np.empty_like(out), np.empty(len(out), dtype=np.int32)
    agree(deltas, weights, total, divisor, keys, out)
    np.maximum(divisor, _SMALLEST_DIVISOR, out=divisor)
    out /= divisor


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
    merge=merge,
)
