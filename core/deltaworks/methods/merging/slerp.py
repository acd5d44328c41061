"""Slerp: go from one model to another along an arc.

Source: Shoemake, SIGGRAPH 1985; arcee-ai/mergekit 0.1.5, method ``slerp``. The whole
tensor is one vector. Lengths are not restored: they interpolate with the same factors.
"""

from __future__ import annotations

from math import acos, sin, sqrt
from typing import TYPE_CHECKING

from deltaworks.methods.merging.kernel import checked, flat_base, one_expert
from deltaworks.methods.method import MergingMethod, Needs
from deltaworks.numerics.chunks import spans
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.method import MergeInputs

_NEARLY_PARALLEL = 0.9995
_NO_LENGTH = 1e-8


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


def merge(inputs: MergeInputs, options: SlerpOptions) -> Tensor:
    """Give ``sin((1-t) theta)/sin(theta) base + sin(t theta)/sin(theta) other``.

    Nearly parallel or opposite vectors are interpolated on a straight line.

    Raises:
        OptionError: there is more than one other model.
    """
    import torch

    base, other = flat_base(inputs), one_expert(inputs, "slerp")
    keep, take = factors(cosine(base, other), options.t)
    out = torch.empty(base.numel())
    for span in spans(len(out)):
        piece = out[span]
        piece.copy_(base[span])
        piece.mul_(keep).add_(other[span].float() * take)
    return checked(out, inputs)


def cosine(one: Tensor, two: Tensor) -> float:
    """Cosine of two flat vectors, summed in float64; 0 when one has no length."""
    import torch

    norm_one, norm_two, dot = 0.0, 0.0, 0.0
    for span in spans(one.numel()):
        left, right = one[span].float(), two[span].float()
        norm_one += float(torch.linalg.vector_norm(left)) ** 2
        norm_two += float(torch.linalg.vector_norm(right)) ** 2
        dot += float(torch.dot(left, right))
    length_one, length_two = sqrt(norm_one), sqrt(norm_two)
    if min(length_one, length_two) <= _NO_LENGTH:
        return 0.0
    return max(-1.0, min(1.0, dot / (length_one * length_two)))


def factors(cos: float, t: float) -> tuple[float, float]:
    """Factors of base and other at position ``t``."""
    if not abs(cos) <= _NEARLY_PARALLEL:
        return 1.0 - t, t
    theta = acos(cos)
    return sin((1.0 - t) * theta) / sin(theta), sin(t * theta) / sin(theta)


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
    merge=merge,
)
