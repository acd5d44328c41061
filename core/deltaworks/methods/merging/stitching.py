"""Localize-and-stitch without data: the largest changes of each model, averaged where they meet.

Source: He et al., "Localize-and-Stitch", arXiv:2408.13656; formula of the dataless form
as read in FusionBench.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltaworks.methods.merging.deltas import delta_arrays, flat_deltas, onto_base
from deltaworks.methods.merging.fields import density_field, scale_field
from deltaworks.methods.merging.surveys import places, pooled_for, rank_surveys
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.options import Options

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs


class StitchingOptions(Options):
    """Options of localize-and-stitch."""

    density: float = density_field(
        0.1,
        "Share of each model's change that is kept, the largest of all tensors together.",
        sweep=(0.05, 0.1, 0.3),
    )
    scale: float = scale_field("Multiplies the stitched change before it is added to the base.")


class StitchingExpertOptions(Options):
    """All experts count the same."""


def merge(inputs: MergeInputs, options: StitchingOptions) -> Tensor:
    """Average every weight over the models that changed it most."""
    import torch

    pooled = pooled_for(inputs, SURVEYS, options)
    deltas = flat_deltas(inputs)
    total, count = torch.zeros_like(deltas[0]), torch.zeros_like(deltas[0])
    for place, delta in zip(places(inputs), deltas, strict=True):
        covered = delta.abs() > _cut(pooled, place, options)
        total += delta.where(covered, torch.zeros(()))
        count += covered
    return onto_base(total / count.clamp_min(1.0), options.scale, inputs)


def _cut(pooled: Any, place: int, options: StitchingOptions) -> float:
    """Magnitudes above this are kept."""
    count, found = pooled["cut.count"][place], pooled["cut"][place]
    return -1.0 if not found or int(count * options.density) >= count else float(found[0])


def _magnitudes(inputs: MergeInputs, options: Any) -> list[npt.NDArray[np.float32]]:  # noqa: ARG001
    return [np.abs(array) for array in delta_arrays(inputs)]


def _ranks(count: int, options: Any) -> list[int]:
    return [count - max(1, int(count * options.density)) - 1]


SURVEYS = rank_surveys("cut", _magnitudes, _ranks)

METHOD = MergingMethod(
    id="localize-and-stitch",
    title="Localize-and-stitch (dataless)",
    family="merging",
    group="magnitude",
    cost="N n, two surveys",
    summary="Keeps of each expert only its largest changes, and averages where they meet.",
    source="arXiv:2408.13656",
    options=StitchingOptions,
    expert_options=StitchingExpertOptions,
    evidence="Built from formulas read in published code; not compared with its outputs. "
    "Masks by magnitude where the authors' main form trains them on data.",
    merge=merge,
    is_elementwise=True,
    surveys=SURVEYS,
    working_bytes=32,
)
