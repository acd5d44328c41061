"""Model stock: pull the mean of the experts towards the base by the angle between them.

Source: Jang et al., "Model Stock", arXiv:2403.19522; arcee-ai/mergekit 0.1.5, method
``model_stock``. Departure: where only one expert has a tensor, the base is kept.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from deltaworks.methods.merging.pieces import Doubles, base_of, dot_products, row_parts
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Needs
from deltaworks.numerics.matrices import as_stack
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs
    from deltaworks.numerics.rounding import Floats

_SMALLEST_PRODUCT = 1e-6
_SMALLEST_DIVISOR = 1e-6


class ModelStockOptions(Options):
    """Options of model stock."""

    filter_wise: bool = option(
        False,
        title="Row by row",
        help="Measure the angle for every row of a matrix instead of once a tensor.",
        sweepable=True,
        sweep=(False, True),
    )


class ModelStockExpertOptions(Options):
    """All experts count the same."""


def stream(inputs: StreamInputs, options: ModelStockOptions) -> Fill:
    """Give ``t mean(experts) + (1 - t) base`` with t from the mean cosine of the deltas."""
    base, exact = base_of(inputs), inputs.arithmetic
    cols = as_stack(inputs.spec.shape).cols if options.filter_wise else max(1, len(base))
    shares = _row_shares(inputs, cols) if options.filter_wise and len(base) else _one_share(inputs)
    takes = [exact.number(float(share)) for share in shares]
    keeps = [exact.number(1.0 - float(take)) for take in takes]
    count = np.float32(len(inputs.experts))
    rows = inputs.room.rows(2)

    def fill(span: slice, out: Floats) -> None:
        start, piece = rows[:2, : len(out)]
        base.into(span, start)
        inputs.experts[0].into(span, out)
        for expert in inputs.experts[1:]:
            expert.into(span, piece)
            np.add(out, piece, out=out)
            exact.round(out)
        np.divide(out, count, out=out)
        exact.round(out)
        for row, part, _ in row_parts(span, cols):
            np.multiply(out[part], takes[row], out=out[part])
            np.multiply(start[part], keeps[row], out=start[part])
        exact.round(out)
        exact.round(start)
        np.add(out, start, out=out)
        exact.round(out)

    return fill


def _one_share(inputs: StreamInputs) -> Doubles:
    """Give t for the whole tensor, ``(1,)``."""
    return _share(dot_products(inputs.experts, base_of(inputs), inputs.arithmetic)[None])


def _row_shares(inputs: StreamInputs, cols: int) -> Doubles:
    """Give t for every row, ``(rows,)``."""
    base = base_of(inputs)
    return np.concatenate(
        [
            _share(
                dot_products(
                    [expert[begin : begin + cols] for expert in inputs.experts],
                    base[begin : begin + cols],
                    inputs.arithmetic,
                )[None]
            )
            for begin in range(0, len(base), cols)
        ]
    )


def _share(dots: Doubles) -> Doubles:
    """Give t from dot products of the deltas, ``(..., n, n)`` to ``(...,)``.

    ``c`` is the mean cosine of all pairs, ``t = n c / (1 + (n - 1) c)``; 0 where that
    has no value.
    """
    n_experts = dots.shape[-1]
    lengths = np.sqrt(np.maximum(dots.diagonal(axis1=-2, axis2=-1), 0.0))
    cosine = np.zeros(dots.shape[:-2])
    pairs = list(combinations(range(n_experts), 2))
    for one, two in pairs:
        product = np.maximum(lengths[..., one] * lengths[..., two], _SMALLEST_PRODUCT)
        cosine += np.clip(dots[..., one, two] / product, -1.0, 1.0)
    cosine /= max(1, len(pairs))
    divisor = 1.0 + (n_experts - 1) * cosine
    is_singular = np.abs(divisor) < _SMALLEST_DIVISOR
    share: Doubles = n_experts * cosine / np.where(is_singular, 1.0, divisor)
    share[is_singular] = 0.0
    return share


METHOD = MergingMethod(
    id="model-stock",
    title="Model stock",
    family="merging",
    group="direct",
    cost="N² n",
    summary="Averages fine-tunes of one task, nearer to the base the more they disagree.",
    source="arXiv:2403.19522, mergekit 0.1.5",
    options=ModelStockOptions,
    expert_options=ModelStockExpertOptions,
    needs=Needs(min_experts=2),
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    stream=stream,
    working_bytes=0,
)
