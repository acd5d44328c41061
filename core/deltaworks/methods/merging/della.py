"""DELLA: drop at random, the smaller a change the likelier, then elect or add.

Source: Deep et al., "DELLA-Merging", arXiv:2406.11617; arcee-ai/mergekit 0.1.5, methods
``della`` and ``della_linear``. The survivors are scaled as mergekit does it, all by one
factor. Departures: a random stream for every expert and tensor; a row of one weight is
kept with the density itself, where mergekit divides by zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ConfigDict, ValidationInfo, field_validator

from deltaworks.methods.merging.fields import density_field, scale_field, weight_field
from deltaworks.methods.merging.kept import Chosen
from deltaworks.methods.merging.task_vectors import Place, Rule, merge_task_vectors, stream_of
from deltaworks.methods.method import MergingMethod
from deltaworks.numerics.chunks import row_spans
from deltaworks.numerics.matrices import as_stack
from deltaworks.numerics.seeds import bits_for
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.method import MergeInputs
    from deltaworks.numerics.selection import Floats


class DellaOptions(Options):
    """Options of DELLA."""

    normalize: bool = option(
        True,
        title="Normalize",
        help="Average the agreeing deltas by weight, instead of summing them.",
    )
    rescale: bool = option(
        True,
        title="Rescale",
        help="Scale what is left of each delta up to the sum of magnitudes it had before.",
        advanced=True,
    )
    scale: float = scale_field("Multiplies the merged delta before it is added to the base.")


class DellaLinearOptions(DellaOptions):
    """Options of DELLA with a plain sum."""

    normalize: bool = option(
        False,
        title="Normalize",
        help="Divide the summed deltas by the sum of the weights.",
    )


class DellaExpertOptions(Options):
    """Options of each expert."""

    model_config = ConfigDict(validate_default=True)

    weight: float = weight_field(
        "Multiplies the delta of this model; counts in the election of signs too."
    )
    density: float = density_field(
        0.5,
        "Share of this model's delta that is kept on average. Less is noisier, 1 keeps everything.",
        sweep=(0.3, 0.5, 0.7),
    )
    epsilon: float = option(
        0.15,
        ge=0.0,
        lt=0.5,
        unit="fraction",
        title="Spread (epsilon)",
        help="The smallest change of a row is kept with the density minus this, the "
        "largest with the density plus this. 0 is DARE.",
        step=0.01,
        sweepable=True,
        sweep=(0.05, 0.15, 0.25),
    )

    @field_validator("epsilon")
    @classmethod
    def _leaves_chances(cls, epsilon: float, info: ValidationInfo) -> float:
        """Refuse chances outside 0 to 1, unless everything is kept anyway."""
        density: Any = info.data.get("density", 1.0)
        if density < 1.0 and not epsilon < min(density, 1.0 - density):
            raise ValueError(
                f"with density {density:g}, chances would go from {density - epsilon:g} to "
                f"{density + epsilon:g} instead of staying between 0 and 1"
            )
        return epsilon


class DellaLinearExpertOptions(DellaExpertOptions):
    """Options of each expert."""

    weight: float = weight_field("Multiplies the delta of this model. Negative weights unlearn.")


def merge_ties(inputs: MergeInputs, options: DellaOptions) -> Tensor:
    """Drop by rank and chance, rescale, elect signs, average, and add to the base."""
    return merge_task_vectors(inputs, _rule(options, elects_signs=True))


def merge_linear(inputs: MergeInputs, options: DellaLinearOptions) -> Tensor:
    """Drop by rank and chance, rescale, sum, and add to the base."""
    return merge_task_vectors(inputs, _rule(options, elects_signs=False))


def _rule(options: DellaOptions, *, elects_signs: bool) -> Rule:
    return Rule(
        sparsify=_by_rank,
        elects_signs=elects_signs,
        rescale="l1" if options.rescale else "none",
        normalize=options.normalize,
        scale=options.scale,
    )


def _by_rank(values: Floats, own: DellaExpertOptions, place: Place) -> Chosen:
    """Keep with chance ``density - epsilon + 2 epsilon r``, r from 0 to 1 by rank in the row."""
    stack = as_stack(place.spec.shape)
    rows = values.reshape(stack.count * stack.rows, stack.cols)
    mask = np.empty(rows.shape, dtype=np.bool_)
    rank = np.linspace(0.0, 1.0, stack.cols) if stack.cols > 1 else np.full(stack.cols, 0.5)
    chances = (own.density - own.epsilon) + 2.0 * own.epsilon * rank
    bits = bits_for(place.spec.seed, place.spec.name, stream_of(place))
    for span in row_spans(*rows.shape):
        piece = np.abs(rows[span])
        order = np.argsort(piece, axis=1, kind="stable")
        drawn = (bits.random_raw(piece.size) >> np.uint64(11)) * 2.0**-53
        kept = np.empty(piece.shape)
        np.put_along_axis(kept, order, np.broadcast_to(chances, piece.shape), axis=1)
        np.less(drawn.reshape(piece.shape), kept, out=mask[span])
    return Chosen.of(mask.reshape(-1))


_EVIDENCE = (
    "Without dropping, compared with outputs of mergekit 0.1.5 in float32; chances and "
    "rescaling checked against its formulas."
)

TIES = MergingMethod(
    id="della",
    title="DELLA",
    family="merging",
    group="magnitude",
    cost="N n log n",
    summary="Drops at random, small changes likelier than large ones, and lets the signs vote.",
    source="arXiv:2406.11617, mergekit 0.1.5",
    options=DellaOptions,
    expert_options=DellaExpertOptions,
    evidence=_EVIDENCE,
    is_random=True,
    merge=merge_ties,
)

LINEAR = MergingMethod(
    id="della-linear",
    title="DELLA linear",
    family="merging",
    group="magnitude",
    cost="N n log n",
    summary="Drops at random, small changes likelier than large ones, and adds the rest.",
    source="arXiv:2406.11617, mergekit 0.1.5",
    options=DellaLinearOptions,
    expert_options=DellaLinearExpertOptions,
    evidence=_EVIDENCE,
    is_random=True,
    merge=merge_linear,
)
