"""DELLA: drop at random, the smaller a change the likelier, then elect or add.

Source: Deep et al., "DELLA-Merging", arXiv:2406.11617; arcee-ai/mergekit 0.1.5, methods
``della`` and ``della_linear``. The survivors are scaled as mergekit does it, all by one
factor. Departures: a random stream for every expert and tensor; a row of one weight is
kept with the density itself, where mergekit divides by zero.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, ValidationInfo, field_validator

from deltaworks.methods.merging.fields import density_field, scale_field, weight_field
from deltaworks.methods.merging.kept import Chosen
from deltaworks.methods.merging.task_vectors import (
    N_BUFFERS,
    Place,
    Rule,
    stream_of,
    stream_task_vectors,
)
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.draws import draws_for, odds
from deltaworks.numerics.matrices import as_stack
from deltaworks.numerics.selection import MAGNITUDE
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.merging.pieces import Delta
    from deltaworks.methods.merging_record import Fill, StreamInputs


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


def stream_ties(inputs: StreamInputs, options: DellaOptions) -> Fill:
    """Drop by rank and chance, rescale, elect signs, average, and add to the base."""
    return stream_task_vectors(inputs, _rule(options, elects_signs=True))


def stream_linear(inputs: StreamInputs, options: DellaLinearOptions) -> Fill:
    """Drop by rank and chance, rescale, sum, and add to the base."""
    return stream_task_vectors(inputs, _rule(options, elects_signs=False))


def _rule(options: DellaOptions, *, elects_signs: bool) -> Rule:
    return Rule(
        sparsify=_by_rank,
        elects_signs=elects_signs,
        rescale="l1" if options.rescale else "none",
        normalize=options.normalize,
        scale=options.scale,
    )


def _by_rank(delta: Delta, own: DellaExpertOptions, place: Place) -> Chosen:
    """Keep with chance ``density - epsilon + 2 epsilon r``, r from 0 to 1 by rank in the row."""
    stack = as_stack(place.spec.shape)
    n_rows, cols = stack.count * stack.rows, stack.cols
    rank = np.linspace(0.0, 1.0, cols) if cols > 1 else np.full(cols, 0.5)
    chances = odds((own.density - own.epsilon) + 2.0 * own.epsilon * rank)
    draws = draws_for(place.spec.seed, place.spec.name, stream_of(place))
    bits = [np.empty(0, dtype=np.uint8)]
    n_together = max(1, min(n_rows, _PIECE // max(1, cols))) * 8 // gcd(8, cols)
    for first in range(0, n_rows, n_together):
        rows = slice(first, min(first + n_together, n_rows))
        places = _places_by_rank(delta, rows, cols)
        # The draws belong to the ranks: nothing has to be brought back into order.
        drawn = draws.words(places.size).reshape(places.shape)
        mask = np.empty(places.size, dtype=np.bool_)
        mask[places] = drawn < chances
        bits.append(np.packbits(mask, bitorder="little"))
    return Chosen(np.concatenate(bits))


def _places_by_rank(delta: Delta, rows: slice, cols: int) -> npt.NDArray[np.int64]:
    """Give the flat places of every row's weights by magnitude, ``(rows, cols)``.

    Magnitude above, place below: one sort of whole numbers, and no two are equal. Where
    that is more than 32 bits, the magnitudes' last ones go: those that agree to a
    thousandth then rank by their place.
    """
    n_bits = max(0, cols - 1).bit_length()
    keys = np.empty((rows.stop - rows.start) * cols, dtype=np.int32)
    for span in spans(len(keys), _PIECE):
        at = rows.start * cols
        found = delta.piece(slice(at + span.start, at + span.stop)).view(np.int32)
        np.bitwise_and(found, MAGNITUDE, out=keys[span])
    table: npt.NDArray[Any] = keys.reshape(-1, cols)
    if n_bits > _MOST_PLACE_BITS:
        table = table.astype(np.int64) << n_bits
    else:
        table = table >> n_bits << n_bits
    table |= np.arange(cols, dtype=table.dtype)
    table.sort(axis=1)
    table &= (1 << n_bits) - 1
    places: npt.NDArray[np.int64] = table + np.arange(0, len(keys), cols)[:, None]
    return places


_PIECE = 1 << 15
_MOST_PLACE_BITS = 15
"""16 bits of a magnitude are left then: 8 of them tell a number from the next larger."""

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
    stream=stream_ties,
    n_buffers=N_BUFFERS,
    working_bytes=1,
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
    stream=stream_linear,
    n_buffers=N_BUFFERS,
    working_bytes=1,
)
