"""DOGE-TA: task arithmetic around a shared change that is learned without data.

Source: Wei et al., "Modeling Multi-Task Model Merging as Adaptive Projective Gradient
Descent", arXiv:2501.01230; as read in FusionBench.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltaworks.methods.merging.combination import combine
from deltaworks.methods.merging.deltas import delta_arrays
from deltaworks.methods.merging.fields import density_field, scale_field
from deltaworks.methods.merging.kernel import checked, flat_base, flat_experts
from deltaworks.methods.merging.spectral import WORKING_BYTES, Deltas, merge_spectrally
from deltaworks.methods.merging.surveys import places, pooled_for, rank_surveys
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.numerics.low_rank import thin_svd
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8
_SHARE_OF_RANK = 6


class DogeOptions(Options):
    """Options of DOGE-TA."""

    strength: float = option(
        0.07,
        gt=0.0,
        le=10.0,
        title="Strength",
        help="Length of each expert's change of a matrix after scaling. Larger changes of a "
        "model need more.",
        log=True,
        sweepable=True,
        sweep=(0.07, 0.3, 1.0),
    )
    density: float = density_field(
        0.3, "Share of each model's change that is kept, the largest of all tensors together."
    )
    steps: int = option(
        400, ge=0, le=100_000, title="Steps", help="Steps of Adam; 0 learns no shared change."
    )
    rate: float = option(
        1e-4,
        gt=0.0,
        le=1.0,
        title="Rate",
        help="How far a step of Adam moves a weight.",
        log=True,
        advanced=True,
    )
    relative: bool = option(
        False,
        title="Relative strength",
        help="Multiply the strength by the mean length of the experts' changes, so that it "
        "does not depend on how far the models moved. Not in the paper.",
        sweepable=True,
        sweep=(False, True),
    )
    scale: float = scale_field("Multiplies the merged delta before it is added to the base.")


class DogeExpertOptions(Options):
    """All experts count the same."""


def merge(inputs: MergeInputs, options: DogeOptions) -> Tensor:
    """Learn the shared change of a matrix and add the experts' largest changes to it."""
    pooled = pooled_for(inputs, SURVEYS, options)
    shape = inputs.spec.shape
    if len(shape) != 2 or min(shape) < len(inputs.experts):
        experts = flat_experts(inputs)
        share = [options.scale / len(experts)] * len(experts)
        return checked(combine(experts, share, flat_base(inputs)), inputs)
    cuts = [(pooled["cut"][place] or [0.0])[0] for place in places(inputs)]
    return merge_spectrally(
        inputs, lambda deltas: around_shared(deltas, cuts, options), options.scale
    )


def around_shared(deltas: Deltas, cuts: list[float], options: DogeOptions) -> Tensor:
    """Give ``sum lambda_i mask_i (delta_i + shared)``."""
    import torch

    every = [deltas[index] for index in range(len(deltas))]
    lengths = [float(delta.norm()) for delta in every]
    unit = sum(lengths) / len(lengths) if options.relative else 1.0
    factors = [options.strength * unit / length if length else 0.0 for length in lengths]
    shared = learn_shared(every, factors, options)
    merged = torch.zeros(deltas.base.shape)
    for delta, cut, factor in zip(every, cuts, factors, strict=True):
        kept = delta.abs() >= cut
        merged.add_((delta + shared) * kept, alpha=factor)
    return merged


def learn_shared(deltas: list[Tensor], factors: list[float], options: DogeOptions) -> Tensor:
    """Learn the change that, added to every expert's, brings the merge near to each.

    The loss is ``sum over j and rows of (delta_j . (delta_j - merged))^2`` with
    ``merged = sum lambda_i (delta_i + shared)``; steps leave the shared subspace alone.
    """
    import torch

    shared = torch.zeros_like(deltas[0])
    first, second = torch.zeros_like(shared), torch.zeros_like(shared)
    basis, weight = _subspace(deltas), sum(factors)
    fixed = sum(
        (factor * delta for delta, factor in zip(deltas, factors, strict=True)),
        torch.zeros_like(shared),
    )
    for step in range(1, options.steps + 1):
        merged = fixed + weight * shared
        gradient = torch.zeros_like(shared)
        for delta in deltas:
            gap = (delta * (delta - merged)).sum(1, keepdim=True)
            gradient.addcmul_(gap, delta, value=-2.0 * weight)
        gradient -= basis @ (basis.T @ gradient)
        first.lerp_(gradient, 1 - _BETA_1)
        second.mul_(_BETA_2).addcmul_(gradient, gradient, value=1 - _BETA_2)
        root = (second / (1 - _BETA_2**step)).sqrt_().add_(_EPSILON)
        shared.addcdiv_(first, root, value=-options.rate / (1 - _BETA_1**step))
    return shared


def _subspace(deltas: list[Tensor]) -> Tensor:
    """Give the first left singular vectors of all experts' main ones side by side."""
    import torch

    rank = min(deltas[0].shape)
    each = rank // len(deltas)
    stacked = torch.cat([thin_svd(delta).left[:, :each] for delta in deltas], 1)
    return thin_svd(stacked).left[:, : rank // _SHARE_OF_RANK]


def _magnitudes(inputs: MergeInputs, options: Any) -> list[npt.NDArray[np.float32]]:  # noqa: ARG001
    return [np.abs(array) for array in delta_arrays(inputs)]


def _ranks(count: int, options: Any) -> list[int]:
    return [count - max(1, int(count * options.density))]


SURVEYS = rank_surveys("cut", _magnitudes, _ranks)

METHOD = MergingMethod(
    id="doge-ta",
    title="DOGE-TA",
    family="merging",
    group="optimisation",
    cost="N + 1 decompositions, 400 passes over N n, two surveys",
    summary="Learns without data a shared change that brings the merge near to every expert.",
    source="arXiv:2501.01230",
    decomposes=True,
    options=DogeOptions,
    expert_options=DogeExpertOptions,
    evidence="Built from formulas read in published code; not compared with its outputs.",
    merge=merge,
    surveys=SURVEYS,
    working_bytes=WORKING_BYTES,
)
