"""PCB-merging: weights compete within each expert and balance between experts.

Source: Du et al., "Parameter Competition Balancing", arXiv:2410.02396; formulas as read in
the authors' code. All quantiles are over the whole model, by index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltaworks.methods.merging.deltas import delta_arrays, onto_base
from deltaworks.methods.merging.fields import scale_field
from deltaworks.methods.merging.surveys import places, pooled_for, rank_surveys
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs

Floats = npt.NDArray[np.float32]
_OUTLIERS = 1e-4


class PcbOptions(Options):
    """Options of PCB-merging."""

    ratio: float = option(
        0.1,
        gt=0.0,
        le=1.0,
        unit="fraction",
        title="Ratio",
        help="Share of each expert's weights that win the competition and are merged.",
        step=0.05,
        sweepable=True,
        sweep=(0.05, 0.1, 0.2),
    )
    scale: float = scale_field(
        "Multiplies the merged delta before it is added to the base.", sweep=(1.0, 1.2, 1.8)
    )


class PcbExpertOptions(Options):
    """All experts count the same."""


def merge(inputs: MergeInputs, options: PcbOptions) -> Tensor:
    """Give the mean of the clamped changes, weighted by who wins where."""
    import torch

    pooled = pooled_for(inputs, SURVEYS, options)
    arrays = delta_arrays(inputs)
    scores = _scores(arrays, places(inputs), pooled["bounds"])
    total, weights = np.zeros_like(arrays[0]), np.zeros_like(arrays[0])
    for place, array, score in zip(places(inputs), arrays, scores, strict=True):
        low, high = pooled["scores"][place] or (0.0, 0.0)
        span = np.float32(high) - np.float32(low)
        won = np.maximum(score - np.float32(low), np.float32(0.0))
        won = won / span if span > 0 else np.zeros_like(won)
        total += won * _clamped(array, pooled["bounds"][place])
        weights += won
    merged = total / np.maximum(weights, np.float32(1e-12))
    return onto_base(torch.from_numpy(merged), options.scale, inputs)


def _clamped(array: Floats, bounds: list[float]) -> Floats:
    low, high = bounds or (0.0, 0.0)
    clamped: Floats = np.sign(array) * np.clip(np.abs(array), np.float32(low), np.float32(high))
    return clamped


def _scores(arrays: list[Floats], whose: list[int], bounds: dict[int, list[float]]) -> list[Floats]:
    """Give ``exp(N self) * tanh(delta * sum of deltas)`` of every expert."""
    total = np.sum(arrays, axis=0, dtype=np.float32)
    found = []
    for place, array in zip(whose, arrays, strict=True):
        low, high = bounds[place] or (0.0, 0.0)
        span = np.float32(high) - np.float32(low)
        own = np.clip(np.abs(array), np.float32(low), np.float32(high)) - np.float32(low)
        own = own / span if span > 0 else np.zeros_like(own)
        # No expert in any tensor counts as absent, so that N is one number for the model.
        found.append(np.exp(np.float32(len(bounds)) * own * own) * np.tanh(array * total))
    return found


def _magnitudes(inputs: MergeInputs, options: Any) -> list[Floats]:  # noqa: ARG001
    return [np.abs(array) for array in delta_arrays(inputs)]


def _outlier_ranks(count: int, options: Any) -> list[int]:  # noqa: ARG001
    return [int(count * _OUTLIERS), int(count * (1 - _OUTLIERS) - 1)]


def _all_scores(inputs: MergeInputs, options: Any) -> list[Floats]:  # noqa: ARG001
    return _scores(delta_arrays(inputs), places(inputs), inputs.pooled["bounds"])


def _score_ranks(count: int, options: Any) -> list[int]:
    return [int(count * (1 - options.ratio)), count - 1]


SURVEYS = (
    *rank_surveys("bounds", _magnitudes, _outlier_ranks),
    *rank_surveys("scores", _all_scores, _score_ranks),
)

METHOD = MergingMethod(
    id="pcb",
    title="PCB-merging",
    family="merging",
    group="magnitude",
    cost="N n, four surveys",
    summary="Weighs every change by its size among its own and its fit with the others'.",
    source="arXiv:2410.02396",
    options=PcbOptions,
    expert_options=PcbExpertOptions,
    evidence="Built from formulas read in the authors' code; not compared with its outputs.",
    merge=merge,
    is_elementwise=True,
    surveys=SURVEYS,
    working_bytes=48,
)
