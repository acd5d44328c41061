"""Task arithmetic: add the experts' deltas to the base.

Source: Ilharco et al., "Editing Models with Task Arithmetic", arXiv:2212.04089;
arcee-ai/mergekit 0.1.5, method ``task_arithmetic``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.kernel import checked, flat_base, flat_experts, weight_sum
from deltaworks.methods.method import MergingMethod
from deltaworks.numerics.chunks import spans
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.method import MergeInputs


class TaskArithmeticOptions(Options):
    """Options of task arithmetic."""

    normalize: bool = option(
        False,
        title="Normalize",
        help="Divide the summed deltas by the sum of the weights.",
    )
    scale: float = option(
        1.0,
        ge=-10.0,
        le=10.0,
        title="Scale (lambda)",
        help="Multiplies the summed delta before it is added to the base.",
        step=0.05,
        sweepable=True,
        sweep=(0.3, 0.5, 0.7, 1.0),
    )


class TaskArithmeticExpertOptions(Options):
    """Options of each expert."""

    weight: float = option(
        1.0,
        ge=-100.0,
        le=100.0,
        title="Weight",
        help="Multiplies the delta of this model. Negative weights unlearn.",
        step=0.05,
        sweepable=True,
    )


def merge(inputs: MergeInputs, options: TaskArithmeticOptions) -> Tensor:
    """Give ``base + scale * sum(weight * (expert - base))``."""
    import torch

    base, experts = flat_base(inputs), flat_experts(inputs)
    weights = [float(expert.options.weight) for expert in inputs.experts]
    total = weight_sum(weights, inputs.spec.name) if options.normalize else 1.0
    out = torch.zeros(base.numel())
    for span in spans(len(out)):
        start, piece = base[span].float(), out[span]
        for expert, weight in zip(experts, weights, strict=True):
            # Rounded before it is added, not fused: the bits that mergekit gives in float32.
            piece.add_((expert[span].float() - start).mul_(weight))
        if options.normalize:
            piece.div_(total)
        if options.scale != 1.0:
            piece.mul_(options.scale)
        piece.add_(start)
    return checked(out, inputs)


METHOD = MergingMethod(
    id="task-arithmetic",
    title="Task arithmetic",
    family="merging",
    summary="Adds what each model learned to the base, each with its own weight.",
    source="arXiv:2212.04089, mergekit 0.1.5",
    options=TaskArithmeticOptions,
    expert_options=TaskArithmeticExpertOptions,
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    merge=merge,
    is_elementwise=True,
)
