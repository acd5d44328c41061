"""RegMean: the layer whose outputs are nearest to every expert's on its own inputs.

Source: Jin et al., "Dataless Knowledge Fusion by Merging Weights", arXiv:2212.09849, and
Nguyen et al., "RegMean++", arXiv:2508.03121; as read in FusionBench.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.combination import combine
from deltaworks.methods.merging.kernel import checked, flat_experts, is_finite
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Needs
from deltaworks.methods.streaming import not_finite
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs

_RIDGE = 1e-6


class RegMeanOptions(Options):
    """Options of RegMean."""

    off_diagonal: float = option(
        0.9,
        ge=0.0,
        le=1.0,
        unit="fraction",
        title="Off-diagonal share",
        help="Factor of the moments between different inputs. 0 weighs every input for "
        "itself, 1 trusts the texts wholly.",
        step=0.05,
        sweepable=True,
        sweep=(0.1, 0.6, 0.9, 0.95),
    )


class RegMeanExpertOptions(Options):
    """All experts count the same."""


def merge(inputs: MergeInputs, options: RegMeanOptions) -> Tensor:
    """Solve for matrices whose inputs are known; average the rest.

    Raises:
        NotFiniteError: an input holds NaN or infinity.
    """
    experts = flat_experts(inputs)
    shape = inputs.spec.shape
    grams = [expert.gram() for expert in inputs.experts if expert.gram is not None]
    if len(shape) != 2 or len(grams) < len(experts):
        return checked(combine(experts, [1.0 / len(experts)] * len(experts), None), inputs)
    if not all(is_finite(expert.float()) for expert in experts):
        raise not_finite(inputs.spec.name)
    merged = regression([expert.view(shape).float() for expert in experts], grams, options)
    return checked(merged.reshape(-1), inputs)


def regression(matrices: list[Tensor], grams: list[Tensor], options: RegMeanOptions) -> Tensor:
    """Give ``(sum W_i G_i) (sum G_i)^-1`` in float64.

    Args:
        matrices: ``(out, in)``.
        grams: second moments of the inputs, ``(in, in)``.
        options: the factor off the diagonal.
    """
    import torch

    total = torch.zeros(grams[0].shape, dtype=torch.float64)
    right = torch.zeros(matrices[0].shape, dtype=torch.float64)
    for matrix, gram in zip(matrices, grams, strict=True):
        moments = gram.double() * options.off_diagonal
        moments.diagonal().copy_(gram.double().diagonal())
        total += moments
        right += matrix.double() @ moments
    # Solved for the distance from the mean, so that inputs without moments keep the mean.
    mean = torch.stack(matrices).double().mean(0)
    right -= mean @ total
    ridge = _RIDGE * float(total.diagonal().mean())
    if not ridge:
        return mean.float()
    total.diagonal().add_(ridge)
    merged: Tensor = mean + torch.linalg.solve(total, right.T).T
    return merged.float()


REGMEAN = MergingMethod(
    id="regmean",
    title="RegMean",
    family="merging",
    group="optimisation",
    cost="one (in, in) solve, and one pass of 256 texts an expert",
    summary="Finds the layer whose outputs are nearest to every expert's on its own texts.",
    source="arXiv:2212.09849",
    options=RegMeanOptions,
    expert_options=RegMeanExpertOptions,
    needs=Needs(base=False, statistics=("gram",)),
    evidence="Built from formulas read in published code; not compared with its outputs.",
    merge=merge,
    working_bytes=48,
)
