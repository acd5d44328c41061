"""Slerp: go from one model to another along an arc.

Source: Shoemake, SIGGRAPH 1985; arcee-ai/mergekit 0.1.5, method ``slerp``. The whole
tensor is one vector. Lengths are not restored: they interpolate with the same factors.
"""

from __future__ import annotations

from math import acos, sin, sqrt
from typing import TYPE_CHECKING

import numpy as np

from deltaworks.methods.merging.pieces import base_of, one_of
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Needs
from deltaworks.numerics.chunks import spans
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs
    from deltaworks.numerics.rounding import Floats
    from deltaworks.numerics.stored import Room, Stored

_NEARLY_PARALLEL = 0.9995
_NO_LENGTH = 1e-8
_SURELY = 1e-5
"""Farther from the limit than this, no way of summing decides otherwise."""


class SlerpOptions(Options):
    """Options of slerp."""

    t: float = option(
        0.5,
        ge=0.0,
        le=1.0,
        unit="fraction",
        title="Position",
        help="0 is the base, 1 is the other model.",
        step=0.05,
        sweepable=True,
        sweep=(0.25, 0.5, 0.75),
    )


class SlerpExpertOptions(Options):
    """The other model has no options of its own."""


def stream(inputs: StreamInputs, options: SlerpOptions) -> Fill:
    """Give ``sin((1-t) theta)/sin(theta) base + sin(t theta)/sin(theta) other``.

    Nearly parallel or opposite vectors are interpolated on a straight line.

    Raises:
        OptionError: there is more than one other model.
    """
    base, other, exact = base_of(inputs), one_of(inputs, "slerp"), inputs.arithmetic
    cos = cosine(base, other, inputs.room)
    keep, take = factors(cos, options.t)
    if exact.is_mergekit and _is_undecided(cos):
        from deltaworks.methods.merging.slerp_factors import mergekit_factors

        keep, take = mergekit_factors(base, other, options.t)
    (buffer,) = inputs.room.rows(1)

    def fill(span: slice, out: Floats) -> None:
        piece = buffer[: len(out)]
        base.into(span, out)
        np.multiply(out, keep, out=out)
        other.into(span, piece)
        np.multiply(piece, take, out=piece)
        np.add(out, piece, out=out)
        exact.round(out)

    return fill


def _is_undecided(cos: float) -> bool:
    """Whether the way the sums were rounded may show in the factors."""
    return not abs(cos) > _NEARLY_PARALLEL + _SURELY


def cosine(one: Stored, two: Stored, room: Room) -> float:
    """Cosine of two flat vectors; 0 when one has no length."""
    sums = [0.0, 0.0, 0.0]
    rows = room.rows(2)
    for span in spans(len(one), room.size):
        left, right = rows[:, : span.stop - span.start]
        one.into(span, left)
        two.into(span, right)
        sums[0] += float(np.einsum("i,i", left, left))
        sums[1] += float(np.einsum("i,i", right, right))
        sums[2] += float(np.einsum("i,i", left, right))
    length_one, length_two = sqrt(sums[0]), sqrt(sums[1])
    if min(length_one, length_two) <= _NO_LENGTH:
        return 0.0
    return max(-1.0, min(1.0, sums[2] / (length_one * length_two)))


def factors(cos: float, t: float) -> tuple[np.float32, np.float32]:
    """Factors of base and other at position ``t``."""
    if not abs(cos) <= _NEARLY_PARALLEL:
        return np.float32(1.0) - np.float32(t), np.float32(t)
    theta = acos(cos)
    return np.float32(sin((1.0 - t) * theta) / sin(theta)), np.float32(sin(t * theta) / sin(theta))


METHOD = MergingMethod(
    id="slerp",
    title="SLERP",
    family="merging",
    group="direct",
    cost="n",
    summary="Blends two models along an arc instead of a line, so that lengths hold up.",
    source="mergekit 0.1.5",
    options=SlerpOptions,
    expert_options=SlerpExpertOptions,
    needs=Needs(min_experts=1, max_experts=1),
    evidence="Compared with outputs of mergekit 0.1.5.",
    stream=stream,
    working_bytes=0,
)
