"""NearSwap: take the other model where it is near, hardly where it is far.

Source: arcee-ai/mergekit 0.1.5, method ``nearswap``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.kernel import checked, flat_base, one_expert
from deltaworks.methods.method import MergingMethod, Needs
from deltaworks.numerics.chunks import spans
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.method import MergeInputs

_SMALLEST_DISTANCE = 1e-6


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


def merge(inputs: MergeInputs, options: NearswapOptions) -> Tensor:
    """Give ``w other + (1 - w) base`` with ``w = t / |base - other|``, at most 1."""
    import torch

    base, other = flat_base(inputs), one_expert(inputs, "nearswap")
    out = torch.empty(base.numel())
    for span in spans(len(out)):
        start, end = base[span].float(), other[span].float()
        distance = (start - end).abs_().clamp_min_(_SMALLEST_DISTANCE)
        share = (options.t / distance).clamp_(0.0, 1.0)
        torch.mul(end, share, out=out[span])
        out[span].add_(start * (1.0 - share))
    return checked(out, inputs)


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
    merge=merge,
    is_elementwise=True,
)
