"""Consensus task arithmetic: keep of the summed deltas what several experts need.

Source: Wang et al., "Localizing Task Information" (TALL masks), arXiv:2405.07813. The
masks' thresholds are one fixed number here; the authors choose them by validation data.
Departure: where fewer experts have a tensor than must agree, all of them must.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deltaworks.methods.merging.fields import scale_field
from deltaworks.methods.merging.pieces import Delta, base_of
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Needs
from deltaworks.methods.streaming import not_finite
from deltaworks.numerics.rounding import is_finite
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs
    from deltaworks.numerics.rounding import Floats


class ConsensusOptions(Options):
    """Options of consensus task arithmetic."""

    threshold: float = option(
        0.4,
        ge=0.0,
        le=10.0,
        title="Mask threshold",
        help="An expert needs a weight when its change there is larger than this many times "
        "the sum of the others'. More keeps fewer weights.",
        step=0.1,
        sweepable=True,
        sweep=(0.2, 0.3, 0.4, 0.5, 0.6),
    )
    agreeing: int = option(
        2,
        ge=1,
        le=100,
        title="Experts that agree",
        help="A weight is merged when at least so many experts need it. 2 drops what serves "
        "one alone or nobody.",
        sweepable=True,
        sweep=(1, 2, 3),
    )
    scale: float = scale_field(
        "Multiplies the summed delta before it is added to the base.",
        default=0.3,
        sweep=(0.3, 0.5, 0.7, 1.0),
    )


class ConsensusExpertOptions(Options):
    """All experts count the same."""


def stream(inputs: StreamInputs, options: ConsensusOptions) -> Fill:
    """Give the base plus the summed delta where enough masks are set.

    Mask i is ``|delta_i| > threshold |sum - delta_i|``.

    Raises:
        NotFiniteError: an input holds NaN, which no mask would notice.
    """
    base, exact = base_of(inputs), inputs.arithmetic
    needed = min(options.agreeing, len(inputs.experts))
    least, scale = np.float32(options.threshold), np.float32(options.scale)
    rows = inputs.room.rows(len(inputs.experts) + 2)
    each = [Delta(base, expert, exact, rows[:0]) for expert in inputs.experts]

    def fill(span: slice, out: Floats) -> None:
        start, others = rows[:2, : len(out)]
        deltas = rows[2 : 2 + len(each), : len(out)]
        base.into(span, start)
        out.fill(0.0)
        for row, delta in zip(deltas, each, strict=True):
            np.add(out, delta.onto(span, start, row), out=out)
        if not is_finite(out):
            raise not_finite(inputs.spec.name)
        votes = np.zeros(len(out), dtype=np.uint16)
        for row in deltas:
            np.subtract(out, row, out=others)
            np.abs(others, out=others)
            np.multiply(others, least, out=others)
            votes += np.abs(row, out=row) > others
        np.multiply(out, votes >= needed, out=out)
        np.multiply(out, scale, out=out)
        np.add(out, start, out=out)
        exact.round(out)

    return fill


METHOD = MergingMethod(
    id="consensus-ta",
    title="Consensus TA",
    family="merging",
    group="magnitude",
    cost="N n",
    summary="Sums the experts' changes, only on weights that at least two of them need.",
    source="arXiv:2405.07813",
    options=ConsensusOptions,
    expert_options=ConsensusExpertOptions,
    needs=Needs(min_experts=2),
    evidence="Built from formulas read in published code; not compared with its outputs. "
    "One fixed threshold where the authors choose by validation data.",
    stream=stream,
    working_bytes=0,
    n_buffers=4,
    is_elementwise=True,
)
