"""DARE merges: drop most of each delta at random, scale up the rest, then add or elect.

Source: Yu et al., "Language Models are Super Mario", arXiv:2311.03099; arcee-ai/mergekit
0.1.5, methods ``dare_linear`` and ``dare_ties``. Departure: every expert and tensor has a
random stream of its own, so that the order of work changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.fields import density_field, scale_field, weight_field
from deltaworks.methods.merging.kept import Chosen
from deltaworks.methods.merging.task_vectors import (
    N_BUFFERS,
    Place,
    Rescale,
    Rule,
    stream_of,
    stream_task_vectors,
)
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.numerics.draws import drawn_bits
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.merging.pieces import Delta
    from deltaworks.methods.merging_record import Fill, StreamInputs


class DareLinearOptions(Options):
    """Options of DARE with a plain sum."""

    normalize: bool = option(
        False,
        title="Normalize",
        help="Divide the summed deltas by the sum of the weights.",
    )
    rescale: Rescale = option(
        "paper",
        title="Rescale",
        help="How the changes that are left make up for the dropped ones.",
        advanced=True,
        labels={
            "none": "Not at all",
            "l1": "To the sum of magnitudes before (as mergekit)",
            "paper": "Divide by the density (as in the paper)",
        },
    )
    scale: float = scale_field("Multiplies the summed delta before it is added to the base.")


class DareTiesOptions(DareLinearOptions):
    """Options of DARE with an election of signs."""

    normalize: bool = option(
        False,
        title="Normalize",
        help="Average the agreeing deltas by weight, instead of summing them.",
    )


class DareLinearExpertOptions(Options):
    """Options of each expert."""

    weight: float = weight_field("Multiplies the delta of this model. Negative weights unlearn.")
    density: float = density_field(
        0.5,
        "Share of this model's delta that is kept, chosen at random. Less is noisier, "
        "1 keeps everything.",
        sweep=(0.1, 0.5, 0.8),
    )


class DareTiesExpertOptions(DareLinearExpertOptions):
    """Options of each expert."""

    weight: float = weight_field(
        "Multiplies the delta of this model; counts in the election of signs too."
    )


def stream_linear(inputs: StreamInputs, options: DareLinearOptions) -> Fill:
    """Drop at random, rescale, sum, and add to the base."""
    return stream_task_vectors(inputs, _rule(options, elects_signs=False))


def stream_ties(inputs: StreamInputs, options: DareTiesOptions) -> Fill:
    """Drop at random, rescale, elect signs, and add to the base."""
    return stream_task_vectors(inputs, _rule(options, elects_signs=True))


def _rule(options: DareLinearOptions, *, elects_signs: bool) -> Rule:
    return Rule(
        sparsify=_random,
        elects_signs=elects_signs,
        rescale=options.rescale,
        normalize=options.normalize,
        scale=options.scale,
    )


def _random(delta: Delta, own: DareLinearExpertOptions, place: Place) -> Chosen:
    spec = place.spec
    return Chosen(drawn_bits(spec.seed, spec.name, len(delta), own.density, stream_of(place)))


_EVIDENCE = (
    "Without dropping, compared with outputs of mergekit 0.1.5 in float32; share kept and "
    "rescaling checked against its formulas."
)

LINEAR = MergingMethod(
    id="dare-linear",
    title="DARE linear",
    family="merging",
    group="magnitude",
    cost="N n",
    summary="Drops most changes at random, scales up the rest, and adds them to the base.",
    source="arXiv:2311.03099, mergekit 0.1.5",
    options=DareLinearOptions,
    expert_options=DareLinearExpertOptions,
    evidence=_EVIDENCE,
    is_random=True,
    stream=stream_linear,
    n_buffers=N_BUFFERS,
    working_bytes=1,
)

TIES = MergingMethod(
    id="dare-ties",
    title="DARE TIES",
    family="merging",
    group="magnitude",
    cost="N n",
    summary="Drops most changes at random, scales up the rest, and lets the signs vote.",
    source="arXiv:2311.03099, arXiv:2306.01708, mergekit 0.1.5",
    options=DareTiesOptions,
    expert_options=DareTiesExpertOptions,
    evidence=_EVIDENCE,
    is_random=True,
    stream=stream_ties,
    n_buffers=N_BUFFERS,
    working_bytes=1,
)
