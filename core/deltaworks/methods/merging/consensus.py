"""Consensus task arithmetic: keep of the summed deltas what several experts need.

Source: Wang et al., "Localizing Task Information" (TALL masks), arXiv:2405.07813. The
masks' thresholds are one fixed number here; the authors choose them by validation data.
Departure: where fewer experts have a tensor than must agree, all of them must.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.fields import scale_field
from deltaworks.methods.merging.kernel import (
    checked,
    flat_base,
    flat_experts,
    is_finite,
    not_finite,
)
from deltaworks.methods.method import MergingMethod, Needs
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.gram import difference
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.method import MergeInputs


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


def merge(inputs: MergeInputs, options: ConsensusOptions) -> Tensor:
    """Give the base plus the summed delta where enough masks are set.

    Mask i is ``|delta_i| > threshold |sum - delta_i|``.

    Raises:
        NotFiniteError: an input holds NaN, which no mask would notice.
    """
    import torch

    base, experts = flat_base(inputs), flat_experts(inputs)
    needed = min(options.agreeing, len(experts))
    out = torch.empty(base.numel())
    for span in spans(len(out)):
        start = base[span].float()
        deltas = [difference(expert[span], start) for expert in experts]
        total = torch.zeros(len(start))
        for delta in deltas:
            total += delta
        if not is_finite(total):
            raise not_finite(inputs.spec.name)
        votes = torch.zeros(len(start), dtype=torch.int32)
        for delta in deltas:
            votes += delta.abs() > (total - delta).abs_().mul_(options.threshold)
        merged = torch.where(votes >= needed, total, torch.zeros_like(total))
        out[span] = merged.mul_(options.scale).add_(start)
    return checked(out, inputs)


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
    merge=merge,
    is_elementwise=True,
)
