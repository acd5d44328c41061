"""Fisher merging: every weight is averaged by how much each model's task depends on it.

Source: Matena and Raffel, "Merging Models with Fisher-Weighted Averaging",
arXiv:2111.09832; as read in FusionBench.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deltaworks.methods.merging.fields import weight_field
from deltaworks.methods.merging.kernel import checked, flat_experts
from deltaworks.methods.merging.surveys import add_by_expert, places, pooled_for
from deltaworks.methods.merging_record import MergeExpert, MergeSurvey, MergingMethod
from deltaworks.methods.method import Needs
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs

_LEAST = 1e-6


class FisherOptions(Options):
    """Options of Fisher merging."""

    normalize: bool = option(
        True,
        title="Normalize",
        help="Divide each model's importances by their length over all tensors, so that no "
        "model counts more because its gradients are larger.",
        sweepable=True,
        sweep=(True, False),
    )


class FisherExpertOptions(Options):
    """Options of each expert."""

    weight: float = weight_field("Multiplies the importances of this model.")


def merge(inputs: MergeInputs, options: FisherOptions) -> Tensor:
    """Give ``sum c_i (F_i + 1e-6) x_i / sum c_i (F_i + 1e-6)``."""
    import torch

    lengths = pooled_for(inputs, SURVEYS, options)
    total = torch.zeros(flat_experts(inputs)[0].shape)
    divisor = torch.zeros_like(total)
    for place, expert, tensor in zip(
        places(inputs), inputs.experts, flat_experts(inputs), strict=True
    ):
        factor = float(expert.options.weight)
        if options.normalize:
            factor /= lengths[place] ** 0.5 + _LEAST
        importance = (_importance(expert) + _LEAST).mul_(factor)
        total.addcmul_(importance, tensor.float())
        divisor += importance
    return checked(total / divisor, inputs)


def _importance(expert: MergeExpert) -> Tensor:
    """Squared gradients of a tensor, flat; all alike where nobody measured them."""
    import torch

    if expert.fisher is None:
        return torch.ones(expert.tensor.numel())
    return expert.fisher().reshape(-1).float()


def _squares(inputs: MergeInputs, options: Any) -> dict[int, float]:  # noqa: ARG001
    pairs = zip(places(inputs), inputs.experts, strict=True)
    return {place: float(_importance(one).double().square().sum()) for place, one in pairs}


def _lengths(found: dict[int, float], options: Any, before: Any) -> dict[int, float]:  # noqa: ARG001
    return found


SURVEYS = (MergeSurvey(gather=_squares, finish=_lengths, add=add_by_expert),)

METHOD = MergingMethod(
    id="fisher",
    title="Fisher merging",
    family="merging",
    group="optimisation",
    cost="N n, and gradients of 256 texts an expert",
    summary="Averages every weight by how much each expert's own task depends on it.",
    source="arXiv:2111.09832",
    options=FisherOptions,
    expert_options=FisherExpertOptions,
    needs=Needs(base=False, statistics=("fisher",)),
    evidence="Built from formulas read in published code; not compared with its outputs.",
    merge=merge,
    surveys=SURVEYS,
    working_bytes=20,
)
