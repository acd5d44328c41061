"""Model breadcrumbs: drop the small changes and the few largest, then add or elect.

Source: Davari and Belilovsky, "Model Breadcrumbs", arXiv:2312.06795; arcee-ai/mergekit
0.1.5, methods ``breadcrumbs`` and ``breadcrumbs_ties``. Of equal magnitudes the ones with
the lowest flat index count as the smaller ones, as in a stable sort; mergekit's is not
stable. Departure: in our own numerics, at least one change of each tensor is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.fields import density_field, scale_field, weight_field
from deltaworks.methods.merging.kept import Band
from deltaworks.methods.merging.pieces import Delta
from deltaworks.methods.merging.task_vectors import N_BUFFERS, Place, Rule, stream_task_vectors
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.streaming import not_finite
from deltaworks.numerics.thresholds import INFINITE, find_thresholds
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs


class BreadcrumbsOptions(Options):
    """Options of breadcrumbs."""

    normalize: bool = option(
        False,
        title="Normalize",
        help="Divide the summed deltas by the sum of the weights.",
    )
    rescale: bool = option(
        False,
        title="Rescale",
        help="Scale each trimmed delta up to the sum of magnitudes it had before.",
        advanced=True,
    )
    scale: float = scale_field(
        "Multiplies the summed delta before it is added to the base.", sweep=(0.3, 0.5, 0.7, 1.0)
    )


class BreadcrumbsTiesOptions(BreadcrumbsOptions):
    """Options of breadcrumbs with an election of signs."""

    normalize: bool = option(
        False,
        title="Normalize",
        help="Average the agreeing deltas by weight, instead of summing them.",
    )


class BreadcrumbsExpertOptions(Options):
    """Options of each expert."""

    weight: float = weight_field("Multiplies the delta of this model. Negative weights unlearn.")
    density: float = density_field(
        0.9,
        "Share of this model's delta that is kept, below the outliers. 1 keeps everything, "
        "outliers too.",
        sweep=(0.5, 0.7, 0.9),
    )
    gamma: float = option(
        0.01,
        ge=0.0,
        le=1.0,
        unit="fraction",
        title="Outliers (gamma)",
        help="Share with the largest magnitudes that is dropped. Where it does not leave "
        "room for the density, fewer are.",
        step=0.01,
        sweepable=True,
        sweep=(0.0, 0.01, 0.05),
    )


class BreadcrumbsTiesExpertOptions(BreadcrumbsExpertOptions):
    """Options of each expert."""

    weight: float = weight_field(
        "Multiplies the delta of this model; counts in the election of signs too."
    )


def stream_linear(inputs: StreamInputs, options: BreadcrumbsOptions) -> Fill:
    """Drop both ends, sum, and add to the base."""
    return stream_task_vectors(inputs, _rule(options, elects_signs=False))


def stream_ties(inputs: StreamInputs, options: BreadcrumbsTiesOptions) -> Fill:
    """Drop both ends, elect signs, and add to the base."""
    return stream_task_vectors(inputs, _rule(options, elects_signs=True))


def _rule(options: BreadcrumbsOptions, *, elects_signs: bool) -> Rule:
    return Rule(
        sparsify=_between,
        elects_signs=elects_signs,
        rescale="l1" if options.rescale else "none",
        normalize=options.normalize,
        scale=options.scale,
    )


def _between(delta: Delta, own: BreadcrumbsExpertOptions, place: Place) -> Band:
    """Keep ``int(density n)`` magnitudes below the ``int(gamma n)`` largest.

    Raises:
        NotFiniteError: NaN or infinity would be dropped as an outlier, in silence.
    """
    count = len(delta)
    keep = max(0 if delta.arithmetic.is_mergekit else 1, int(own.density * count))
    outliers = min(int(own.gamma * count), count - keep)
    found = find_thresholds(delta, [keep + outliers, outliers])
    if found.largest >= INFINITE:
        raise not_finite(place.spec.name)
    return Band(*found.thresholds)


LINEAR = MergingMethod(
    id="breadcrumbs",
    title="Breadcrumbs",
    family="merging",
    group="magnitude",
    cost="N n, two selections an expert",
    summary="Drops the smallest and the very largest changes, and adds the rest to the base.",
    source="arXiv:2312.06795, mergekit 0.1.5",
    options=BreadcrumbsOptions,
    expert_options=BreadcrumbsExpertOptions,
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    stream=stream_linear,
    working_bytes=0,
    n_buffers=N_BUFFERS,
)

TIES = MergingMethod(
    id="breadcrumbs-ties",
    title="Breadcrumbs TIES",
    family="merging",
    group="magnitude",
    cost="N n, two selections an expert",
    summary="Drops the smallest and the very largest changes, and lets the signs vote.",
    source="arXiv:2312.06795, arXiv:2306.01708, mergekit 0.1.5",
    options=BreadcrumbsTiesOptions,
    expert_options=BreadcrumbsTiesExpertOptions,
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    stream=stream_ties,
    working_bytes=0,
    n_buffers=N_BUFFERS,
)
