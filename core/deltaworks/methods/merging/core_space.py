"""Core space: experts are merged inside the small space that their changes span.

Source: Panariello et al., "Accurate and Efficient Low-Rank Model Merging in Core Space",
arXiv:2509.17786, from memory, and mergekit's open request 646. Weights count here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from deltaworks.methods.merging.fields import density_field, scale_field, weight_field
from deltaworks.methods.merging.isotropic import level_sum
from deltaworks.methods.merging.spectral import WORKING_BYTES, Deltas, merge_spectrally
from deltaworks.methods.merging.ties_global import elect_and_average
from deltaworks.methods.merging.tsv_merge import merge_matrix as merge_singular_vectors
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.numerics.low_rank import thin_svd
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs


class CoreSpaceOptions(Options):
    """Options of core space."""

    rule: Literal["sum", "ties", "tsv", "iso-c"] = option(
        "tsv",
        title="Rule inside",
        help="How the small matrices are merged. A sum gives what task arithmetic gives.",
        labels={"sum": "Sum", "ties": "TIES", "tsv": "TSV-Merge", "iso-c": "Iso-C"},
        sweepable=True,
        sweep=("sum", "ties", "tsv", "iso-c"),
    )
    density: float = density_field(0.2, "Share of each small matrix that TIES keeps.")
    scale: float = scale_field("Multiplies the merged delta before it is added to the base.")


class CoreSpaceExpertOptions(Options):
    """Options of each expert."""

    weight: float = weight_field("Multiplies the delta of this model.")


def merge(inputs: MergeInputs, options: CoreSpaceOptions) -> Tensor:
    """Merge matrices in the core; what is no matrix is averaged."""
    weights = [float(expert.options.weight) for expert in inputs.experts]
    return merge_spectrally(
        inputs, lambda deltas: merge_in_core(deltas, weights, options), options.scale
    )


def merge_in_core(deltas: Deltas, weights: list[float], options: CoreSpaceOptions) -> Tensor:
    """Give ``U M V'`` with M merged of ``U' delta_i V``."""
    import torch

    every = [weight * deltas[index] for index, weight in enumerate(weights)]
    left = thin_svd(torch.cat(every, 1)).left
    right = thin_svd(torch.cat(every, 0)).right
    cores = [left.T @ delta @ right for delta in every]
    if not left.shape[1]:
        return torch.zeros(deltas.base.shape)
    return left @ _merged(cores, options) @ right.T


def _merged(cores: list[Tensor], options: CoreSpaceOptions) -> Tensor:
    import torch

    if options.rule == "ties":
        cuts = [_cut(core, options.density) for core in cores]
        return elect_and_average(cores, cuts, 1)
    # Fewer directions than experts leave none for each: then the sum is all there is.
    if options.rule == "sum" or min(cores[0].shape) < len(cores):
        return torch.stack(cores).sum(0)
    inside = Deltas(torch.zeros_like(cores[0]), cores)
    return merge_singular_vectors(inside) if options.rule == "tsv" else level_sum(inside)


def _cut(core: Tensor, density: float) -> float:
    keep = max(1, int(density * core.numel()))
    return float(core.abs().flatten().kthvalue(core.numel() - keep + 1).values)


METHOD = MergingMethod(
    id="core-space",
    title="Core space",
    family="merging",
    group="lora",
    cost="2 decompositions of all changes, one small merge",
    summary="Merges adapters inside the small space that all of them span.",
    source="arXiv:2509.17786, mergekit request 646",
    decomposes=True,
    options=CoreSpaceOptions,
    expert_options=CoreSpaceExpertOptions,
    evidence="Built from memory of the paper; not compared with outputs.",
    merge=merge,
    working_bytes=2 * WORKING_BYTES,
)
