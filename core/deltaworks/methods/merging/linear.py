"""Linear: the weighted mean of models.

Source: arcee-ai/mergekit 0.1.5, method ``linear``; model soups, arXiv:2203.05482.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.kernel import checked, flat_experts, weight_sum
from deltaworks.methods.method import MergingMethod, Needs
from deltaworks.numerics.chunks import spans
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.method import MergeInputs


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


def merge(inputs: MergeInputs, options: LinearOptions) -> Tensor:
    """Sum the weighted experts in their order; divide by the sum of the weights."""
    import torch

    experts = flat_experts(inputs)
    weights = [float(expert.options.weight) for expert in inputs.experts]
    total = weight_sum(weights, inputs.spec.name) if options.normalize else 1.0
    out = torch.zeros(experts[0].numel())
    for span in spans(len(out)):
        piece = out[span]
        for expert, weight in zip(experts, weights, strict=True):
            piece.add_(expert[span].float(), alpha=weight)
        if options.normalize:
            piece.div_(total)
    return checked(out, inputs)


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
    merge=merge,
    is_elementwise=True,
)
