"""TIES as its authors run it: trimmed over the whole model, signs without weights.

Source: Yadav et al., "TIES-Merging", arXiv:2306.01708, and the authors' code, whose
formulas were read. mergekit's ``ties`` trims every tensor for itself instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltaworks.methods.merging.deltas import delta_arrays, flat_deltas, onto_base
from deltaworks.methods.merging.fields import density_field, scale_field
from deltaworks.methods.merging.surveys import places, pooled_for, rank_surveys
from deltaworks.methods.merging_record import MergeSurvey, MergingMethod
from deltaworks.options import Options

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs

Floats = npt.NDArray[np.float32]


class TiesGlobalOptions(Options):
    """Options of TIES over the whole model."""

    density: float = density_field(
        0.2, "Share of each model's change that is kept, the largest of all tensors together."
    )
    scale: float = scale_field(
        "Multiplies the merged delta before it is added to the base.", sweep=(0.5, 1.0, 1.5)
    )


class TiesGlobalExpertOptions(Options):
    """All experts count the same."""


def merge(inputs: MergeInputs, options: TiesGlobalOptions) -> Tensor:
    """Trim by one threshold a model, elect signs, average what agrees."""
    pooled = pooled_for(inputs, SURVEYS, options)
    cuts = [pooled["cut"][place][0] for place in cut_places(inputs, pooled)]
    merged = elect_and_average(flat_deltas(inputs), cuts, pooled["majority"])
    return onto_base(merged, options.scale, inputs)


def cut_places(inputs: MergeInputs, pooled: Any) -> list[int]:
    """Give the experts' places; an empty model has no threshold and gets one that keeps all."""
    found = places(inputs)
    for place in found:
        if not pooled["cut"][place]:
            pooled["cut"][place] = [0.0]
    return found


def elect_and_average(deltas: list[Tensor], cuts: list[float], majority: int) -> Tensor:
    """Give the disjoint mean of trimmed changes.

    Args:
        deltas: flat or not, of one shape, float32.
        cuts: least magnitude that is kept, one a delta.
        majority: sign that a sum of exactly zero takes.
    """
    import torch

    kept = [
        delta.where(delta.abs() >= cut, torch.zeros(()))
        for delta, cut in zip(deltas, cuts, strict=True)
    ]
    signs = torch.stack(kept).sum(0).sign()
    signs = signs.where(signs != 0, torch.tensor(float(majority)))
    total, count = torch.zeros_like(signs), torch.zeros_like(signs)
    for delta in kept:
        agrees = (delta.sign() == signs) & (delta != 0)
        total += delta.where(agrees, torch.zeros(()))
        count += agrees
    return total / count.clamp_min(1.0)


def kept_ranks(count: int, options: Any) -> list[int]:
    """Rank of the smallest magnitude that is kept."""
    return [count - max(1, int(count * options.density))]


def _magnitudes(inputs: MergeInputs, options: Any) -> list[Floats]:  # noqa: ARG001
    return [np.abs(array) for array in delta_arrays(inputs)]


def _sign_sum(inputs: MergeInputs, options: Any) -> int:  # noqa: ARG001
    cuts = [inputs.pooled["cut"][place][0] for place in cut_places(inputs, inputs.pooled)]
    return signs_of_sums(delta_arrays(inputs), cuts)


def signs_of_sums(arrays: list[Floats], cuts: list[float]) -> int:
    """Add up the signs of the sums of the trimmed changes."""
    kept = [
        np.where(np.abs(array) >= cut, array, np.float32(0.0))
        for array, cut in zip(arrays, cuts, strict=True)
    ]
    return int(np.sign(np.sum(kept, axis=0, dtype=np.float32)).sum(dtype=np.int64))


def with_majority(total: int, options: Any, before: Any) -> Any:  # noqa: ARG001
    """Note the sign that most sums have."""
    return {**before, "majority": int(np.sign(total))}


SURVEYS = (
    *rank_surveys("cut", _magnitudes, kept_ranks),
    MergeSurvey(gather=_sign_sum, finish=with_majority),
)

METHOD = MergingMethod(
    id="ties-global",
    title="TIES (global)",
    family="merging",
    group="magnitude",
    cost="N n, three surveys",
    summary="TIES as its authors run it: one threshold for the whole model, no weights.",
    source="arXiv:2306.01708",
    options=TiesGlobalOptions,
    expert_options=TiesGlobalExpertOptions,
    evidence="Built from formulas read in the authors' code; not compared with its outputs.",
    merge=merge,
    is_elementwise=True,
    surveys=SURVEYS,
    working_bytes=40,
)
