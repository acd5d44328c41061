"""TIES: trim each delta, elect a sign for every weight, average those that agree.

Source: Yadav et al., "TIES-Merging", arXiv:2306.01708; arcee-ai/mergekit 0.1.5, method
``ties``. Equal magnitudes at the threshold are kept from the lowest flat index on, where
mergekit keeps whichever its unstable sort puts first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.fields import density_field, scale_field, weight_field
from deltaworks.methods.merging.kept import Largest
from deltaworks.methods.merging.pieces import Delta
from deltaworks.methods.merging.task_vectors import N_BUFFERS, Place, Rule, stream_task_vectors
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.numerics.thresholds import find_thresholds
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs


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


def stream(inputs: StreamInputs, options: TiesOptions) -> Fill:
    """Trim, elect, average, and add to the base."""
    rule = Rule(
        sparsify=_largest,
        elects_signs=True,
        rescale="l1" if options.rescale else "none",
        normalize=options.normalize,
        scale=options.scale,
    )
    return stream_task_vectors(inputs, rule)


def _largest(delta: Delta, own: TiesExpertOptions, place: Place) -> Largest:  # noqa: ARG001
    keep = max(1, int(own.density * len(delta)))
    return Largest(find_thresholds(delta, [keep]).thresholds[0])


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
    stream=stream,
    working_bytes=0,
    n_buffers=N_BUFFERS,
)
