"""TALL masks: of the summed changes each expert gets the weights that it needs.

Source: Wang et al., "Localizing Task Information", arXiv:2405.07813. The threshold is one
fixed number here; the authors choose it for each task by validation data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.deltas import (
    chosen_expert,
    expert_field,
    flat_deltas,
    one_and_masks,
    onto_base,
)
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs


class TallMaskOptions(Options):
    """Options of TALL masks."""

    expert: int = expert_field()
    threshold: float = option(
        0.4,
        ge=0.0,
        le=10.0,
        title="Mask threshold",
        help="The expert needs a weight when its change there is larger than this many times "
        "the sum of the others'. More keeps fewer weights.",
        step=0.1,
        sweepable=True,
        sweep=(0.2, 0.3, 0.4, 0.5, 0.6),
    )


class TallMaskExpertOptions(Options):
    """All experts count the same."""


def merge(inputs: MergeInputs, options: TallMaskOptions) -> Tensor:
    """Give the base plus the summed changes under one expert's mask."""
    import torch

    deltas = flat_deltas(inputs)
    total = torch.stack(deltas).sum(0)
    index = chosen_expert(inputs, options.expert)
    if index is None:
        return onto_base(torch.zeros_like(total), 1.0, inputs)
    masked = total * needed(deltas[index], total, options.threshold)
    return onto_base(masked, 1.0, inputs)


def needed(delta: Tensor, total: Tensor, threshold: float) -> Tensor:
    """Say where ``|delta| > threshold |total - delta|``."""
    return delta.abs() > (total - delta).abs().mul_(threshold)


METHOD = MergingMethod(
    id="tall-mask",
    title="TALL masks",
    family="merging",
    group="magnitude",
    cost="N n",
    summary="One summed change for all; a mask gives each expert's model out of it.",
    source="arXiv:2405.07813",
    options=TallMaskOptions,
    expert_options=TallMaskExpertOptions,
    evidence="Built from formulas read in published code; not compared with its outputs. "
    "One fixed threshold where the authors choose by validation data.",
    merge=merge,
    is_elementwise=True,
    switches=True,
    stored_models=one_and_masks,
    working_bytes=32,
)
