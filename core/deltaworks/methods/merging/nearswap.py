"""NearSwap: take the other model where it is near, hardly where it is far.

Source: arcee-ai/mergekit 0.1.5, method ``nearswap``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deltaworks.methods.merging.pieces import base_of, one_of
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Needs
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs
    from deltaworks.numerics.rounding import Floats

_SMALLEST_DISTANCE = 1e-6
_ALL = np.float32(1.0)


class NearswapOptions(Options):
    """Options of NearSwap."""

    t: float = option(
        0.001,
        gt=0.0,
        le=10.0,
        title="Reach",
        help="Weights that differ by less are taken from the other model; the others move "
        "towards it by about this much.",
        log=True,
        sweepable=True,
        sweep=(0.0001, 0.001, 0.01),
    )


class NearswapExpertOptions(Options):
    """The other model has no options of its own."""


def stream(inputs: StreamInputs, options: NearswapOptions) -> Fill:
    """Give ``w other + (1 - w) base`` with ``w = t / |base - other|``, at most 1."""
    base, other, exact = base_of(inputs), one_of(inputs, "nearswap"), inputs.arithmetic
    reach = np.float32(options.t)
    least = exact.number(_SMALLEST_DISTANCE)
    rows = inputs.room.rows(2)

    def fill(span: slice, out: Floats) -> None:
        start, share = rows[:2, : len(out)]
        base.into(span, start)
        other.into(span, out)
        np.subtract(start, out, out=share)
        exact.round(share)
        np.abs(share, out=share)
        np.maximum(share, least, out=share)
        # As mergekit's library divides a number by an array.
        np.reciprocal(share, out=share)
        exact.round(share)
        np.multiply(share, reach, out=share)
        exact.round(share)
        np.minimum(share, _ALL, out=share)
        np.multiply(out, share, out=out)
        exact.round(out)
        np.subtract(_ALL, share, out=share)
        exact.round(share)
        np.multiply(start, share, out=start)
        exact.round(start)
        np.add(out, start, out=out)
        exact.round(out)

    return fill


METHOD = MergingMethod(
    id="nearswap",
    title="NearSwap",
    family="merging",
    group="direct",
    cost="n",
    summary="Takes the other model where it is near, and moves a little where it is far.",
    source="mergekit 0.1.5",
    options=NearswapOptions,
    expert_options=NearswapExpertOptions,
    needs=Needs(min_experts=1, max_experts=1),
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    stream=stream,
    working_bytes=0,
    is_elementwise=True,
)
