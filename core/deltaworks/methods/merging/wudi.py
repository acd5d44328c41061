"""WUDI: finds the merged change whose interference with every expert is least.

Source: Cheng et al., "Whoever Started the Interference Should End It", arXiv:2503.08099;
as read in FusionBench. The loss is quadratic, so it may also be solved at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from deltaworks.methods.merging.fields import scale_field
from deltaworks.methods.merging.spectral import Deltas, merge_spectrally
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8
_NEGLIGIBLE = 1e-6


class WudiOptions(Options):
    """Options of WUDI."""

    solver: Literal["adam", "exact"] = option(
        "adam",
        title="Solver",
        help="Adam takes the steps of the authors, which depend on how large the changes are; "
        "exact goes to the minimum nearest to the sum.",
        labels={"adam": "Adam", "exact": "Exact minimum"},
        sweepable=True,
        sweep=("adam", "exact"),
    )
    steps: int = option(
        300,
        ge=0,
        le=100_000,
        title="Steps",
        help="Steps of Adam. 0 leaves the sum of all changes.",
    )
    rate: float = option(
        1e-5,
        gt=0.0,
        le=1.0,
        title="Rate",
        help="How far a step of Adam moves a weight. Larger changes need larger steps.",
        log=True,
    )
    scale: float = scale_field(
        "Multiplies the merged delta before it is added to the base.", sweep=(0.7, 1.0)
    )


class WudiExpertOptions(Options):
    """All experts count the same."""


def merge(inputs: MergeInputs, options: WudiOptions) -> Tensor:
    """Start at the sum of all changes and lessen the interference."""
    return merge_spectrally(
        inputs, lambda deltas: least_interference(deltas, options), options.scale
    )


def least_interference(deltas: Deltas, options: WudiOptions) -> Tensor:
    """Minimise ``sum |(M - d_i) d_i'|^2 / |d_i|^2`` over M.

    Its gradient is ``2 (M A - B)`` with ``A = sum d_i' d_i / |d_i|^2`` and
    ``B = sum d_i d_i' d_i / |d_i|^2``, so the experts are read once.
    """
    import torch

    cols = deltas.base.shape[1]
    moments = torch.zeros(cols, cols)
    target = torch.zeros(deltas.base.shape)
    for index in range(len(deltas)):
        delta = deltas[index]
        energy = float(delta.square().sum())
        if energy:
            own = delta.T @ delta / energy
            moments += own
            target += delta @ own
    start = deltas.summed()
    if len(deltas) == 1:
        return start
    if options.solver == "exact":
        return _minimum(start, moments, target)
    return _adam(start, moments, target, options)


def _adam(merged: Tensor, moments: Tensor, target: Tensor, options: WudiOptions) -> Tensor:
    import torch

    first, second = torch.zeros_like(merged), torch.zeros_like(merged)
    for step in range(1, options.steps + 1):
        gradient = (merged @ moments).sub_(target).mul_(2.0)
        first.lerp_(gradient, 1 - _BETA_1)
        second.mul_(_BETA_2).addcmul_(gradient, gradient, value=1 - _BETA_2)
        size = options.rate / (1 - _BETA_1**step)
        root = (second / (1 - _BETA_2**step)).sqrt_().add_(_EPSILON)
        merged.addcdiv_(first, root, value=-size)
    return merged


def _minimum(start: Tensor, moments: Tensor, target: Tensor) -> Tensor:
    """Give the minimum nearest to the start: ``S + (B - S A) A^+``."""
    import torch

    values, vectors = torch.linalg.eigh(moments.double())
    kept = values > _NEGLIGIBLE * values[-1:].clamp_min(0)
    inverse = torch.where(kept, 1.0 / values.where(kept, torch.ones(())), torch.zeros(()))
    gap = target.double() - start.double() @ moments.double()
    merged: Tensor = start.double() + (gap @ vectors * inverse) @ vectors.T
    return merged.float()


METHOD = MergingMethod(
    id="wudi",
    title="WUDI",
    family="merging",
    group="optimisation",
    cost="300 products with an (in, in) matrix",
    summary="Moves the summed changes until they disturb no expert's own inputs.",
    source="arXiv:2503.08099",
    options=WudiOptions,
    expert_options=WudiExpertOptions,
    evidence="Built from formulas read in published code; not compared with its outputs.",
    merge=merge,
    working_bytes=48,
)
