"""Linear: the weighted mean of models.

Source: arcee-ai/mergekit 0.1.5, method ``linear``; model soups, arXiv:2203.05482.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deltaworks.methods.merging.fused import FusedSum
from deltaworks.methods.merging.kernel import weight_sum
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Needs
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs
    from deltaworks.numerics.rounding import Floats


class LinearOptions(Options):
    """Options of the weighted mean."""

    normalize: bool = option(
        True,
        title="Normalize",
        help="Divide by the sum of the weights, so that the result is a mean.",
    )


class LinearExpertOptions(Options):
    """Options of each expert."""

    weight: float = option(
        1.0,
        ge=-100.0,
        le=100.0,
        title="Weight",
        help="Share of this model in the result, relative to the others.",
        step=0.05,
        sweepable=True,
    )


def stream(inputs: StreamInputs, options: LinearOptions) -> Fill:
    """Sum the weighted experts in their order; divide by the sum of the weights.

    Raises:
        OptionError: the weights sum to zero and are to be normalized.
    """
    exact = inputs.arithmetic
    weights = [np.float32(own.weight) for own in inputs.options]
    total = np.float32(1.0)
    if options.normalize:
        weight_sum([float(weight) for weight in weights], inputs.spec.name)
        total = np.add.reduce(np.array(weights))
    add = FusedSum(inputs.room.size).add if exact.is_mergekit else _add
    (buffer,) = inputs.room.rows(1)

    def fill(span: slice, out: Floats) -> None:
        piece = buffer[: len(out)]
        inputs.experts[0].into(span, out)
        np.multiply(out, weights[0], out=out)
        for expert, weight in zip(inputs.experts[1:], weights[1:], strict=True):
            expert.into(span, piece)
            add(out, piece, weight)
        if total != 1.0:
            np.divide(out, total, out=out)
        exact.round(out)

    return fill


def _add(total: Floats, values: Floats, weight: np.float32) -> None:
    """Add weighted values, which are changed, to a sum."""
    np.multiply(values, weight, out=values)
    np.add(total, values, out=total)


METHOD = MergingMethod(
    id="linear",
    title="Linear",
    family="merging",
    group="direct",
    cost="N n",
    summary="The weighted mean of the models; the simplest merge there is.",
    source="mergekit 0.1.5, arXiv:2203.05482",
    options=LinearOptions,
    expert_options=LinearExpertOptions,
    needs=Needs(base=False),
    evidence="Compared with outputs of mergekit 0.1.5.",
    stream=stream,
    working_bytes=0,
    is_elementwise=True,
)
