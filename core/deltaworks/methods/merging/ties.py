"""TIES: trim each delta, elect a sign for every weight, average those that agree.

Source: Yadav et al., "TIES-Merging", arXiv:2306.01708; arcee-ai/mergekit 0.1.5, method
``ties``. Equal magnitudes at the threshold are kept from the lowest flat index on, where
mergekit keeps whichever its unstable sort puts first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.fields import density_field, scale_field, weight_field
from deltaworks.methods.merging.kept import Largest
from deltaworks.methods.merging.task_vectors import Place, Rule, merge_task_vectors
from deltaworks.methods.method import MergingMethod
from deltaworks.numerics.selection import Floats, magnitude_cut
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.method import MergeInputs


class TiesOptions(Options):
    """Options of TIES."""

    normalize: bool = option(
        True,
        title="Normalize",
        help="Average the agreeing deltas by weight, instead of summing them.",
    )
    rescale: bool = option(
        False,
        title="Rescale",
        help="Scale each trimmed delta up to the sum of magnitudes it had before.",
        advanced=True,
    )
    scale: float = scale_field("Multiplies the merged delta before it is added to the base.")


class TiesExpertOptions(Options):
    """Options of each expert."""

    weight: float = weight_field(
        "Multiplies the delta of this model; counts in the election of signs too."
    )
    density: float = density_field(
        0.2,
        "Share of this model's delta that is kept, the largest of each tensor. "
        "0.2 is the paper's, 1 keeps everything.",
    )


def merge(inputs: MergeInputs, options: TiesOptions) -> Tensor:
    """Trim, elect, average, and add to the base."""
    rule = Rule(
        sparsify=_largest,
        elects_signs=True,
        rescale="l1" if options.rescale else "none",
        normalize=options.normalize,
        scale=options.scale,
    )
    return merge_task_vectors(inputs, rule)


def _largest(values: Floats, own: TiesExpertOptions, place: Place) -> Largest:  # noqa: ARG001
    return Largest(magnitude_cut(values, max(1, int(own.density * len(values)))))


METHOD = MergingMethod(
    id="ties",
    title="TIES",
    family="merging",
    group="magnitude",
    cost="N n, one selection an expert",
    summary="Trims small changes, settles conflicts by majority sign, averages what agrees.",
    source="arXiv:2306.01708, mergekit 0.1.5",
    options=TiesOptions,
    expert_options=TiesExpertOptions,
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    merge=merge,
)
