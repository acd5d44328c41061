"""MagMax: of every weight the change that is largest.

Source: Marczak et al., "MagMax", arXiv:2407.06322; formula as read in FusionBench.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.deltas import flat_deltas, onto_base
from deltaworks.methods.merging.fields import scale_field
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.options import Options

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs


class MagMaxOptions(Options):
    """Options of MagMax."""

    scale: float = scale_field(
        "Multiplies the chosen change before it is added to the base.",
        default=0.5,
        sweep=(0.5, 0.6, 1.0),
    )


class MagMaxExpertOptions(Options):
    """All experts count the same."""


def merge(inputs: MergeInputs, options: MagMaxOptions) -> Tensor:
    """Take the change of largest magnitude; of equal ones the last expert's."""
    chosen, *others = flat_deltas(inputs)
    chosen = chosen.clone()
    for delta in others:
        chosen = delta.where(delta.abs() >= chosen.abs(), chosen)
    return onto_base(chosen, options.scale, inputs)


METHOD = MergingMethod(
    id="magmax",
    title="MagMax",
    family="merging",
    group="magnitude",
    cost="N n",
    summary="Takes for every weight the largest change that any expert made.",
    source="arXiv:2407.06322",
    options=MagMaxOptions,
    expert_options=MagMaxExpertOptions,
    evidence="Built from formulas read in published code; not compared with its outputs.",
    merge=merge,
    is_elementwise=True,
)
