"""TIES that trims by what a change does to the layer's own inputs, not by its size alone.

Our combination of TIES (arXiv:2306.01708) with the importance of Wanda (Sun et al.,
arXiv:2306.11695): the magnitude of a change times the length of its input over texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.deltas import flat_deltas, onto_base
from deltaworks.methods.merging.fields import density_field, scale_field
from deltaworks.methods.merging.ties_global import elect_and_average
from deltaworks.methods.merging_record import MergeExpert, MergingMethod
from deltaworks.methods.method import Needs
from deltaworks.options import Options

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs

_MATRIX = 2


class ActivationTiesOptions(Options):
    """Options of TIES by activations."""

    density: float = density_field(
        0.3, "Share of each matrix's changes that is kept, the most important ones."
    )
    scale: float = scale_field(
        "Multiplies the merged delta before it is added to the base.", sweep=(0.7, 1.0, 1.5)
    )


class ActivationTiesExpertOptions(Options):
    """All experts count the same."""


def merge(inputs: MergeInputs, options: ActivationTiesOptions) -> Tensor:
    """Keep each expert's most important changes, elect signs, average what agrees."""
    import torch

    deltas = flat_deltas(inputs)
    kept = []
    for delta, expert in zip(deltas, inputs.experts, strict=True):
        importance = delta.abs() * _lengths(expert, inputs.spec.shape)
        if not len(delta):
            kept.append(delta)
            continue
        keep = max(1, int(options.density * len(delta)))
        cut = importance.kthvalue(len(delta) - keep + 1).values
        kept.append(delta.where(importance >= cut, torch.zeros(())))
    merged = elect_and_average(kept, [0.0] * len(kept), 1)
    return onto_base(merged, options.scale, inputs)


def _lengths(expert: MergeExpert, shape: tuple[int, ...]) -> Tensor:
    """Root mean squares of the inputs, one a weight, flat; 1 where nobody looked."""
    import torch

    if expert.gram is None or len(shape) != _MATRIX:
        return torch.ones(())
    lengths = expert.gram().diagonal().clamp_min(0).sqrt()
    return lengths.expand(shape).reshape(-1)


METHOD = MergingMethod(
    id="activation-ties",
    title="TIES by activations",
    family="merging",
    group="activation",
    cost="N n, one selection, and one pass of texts an expert",
    summary="TIES that keeps the changes which matter most for each expert's own inputs.",
    source="arXiv:2306.01708, arXiv:2306.11695",
    options=ActivationTiesOptions,
    expert_options=ActivationTiesExpertOptions,
    needs=Needs(statistics=("gram",)),
    evidence="Our combination of two published ideas; no results to compare with.",
    merge=merge,
    working_bytes=32,
)
