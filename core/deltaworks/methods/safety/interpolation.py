"""Interpolation: a share of the way from the aligned model to its fine-tune.

The reference that every other method has to beat; no data, no further model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.safety.layer_inputs import change_facts
from deltaworks.methods.safety_record import Repaired, SafetyMethod
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.safety_record import RepairInputs


class InterpolationOptions(Options):
    """Options of interpolation."""

    weight: float = option(
        0.5,
        title="Weight (w)",
        help="0 gives the aligned model, 1 the fine-tune.",
        ge=0.0,
        le=1.0,
        unit="fraction",
        step=0.05,
        sweepable=True,
        sweep=(0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0),
    )


def repair(inputs: RepairInputs, options: InterpolationOptions) -> Repaired:
    """Give ``W_a + w (W_f - W_a)``; the ends are exact."""
    delta = inputs.tuned.float() - inputs.aligned.float()
    facts = change_facts(delta, options.weight * delta)
    if options.weight <= 0.0:
        return Repaired(inputs.aligned, facts)
    if options.weight >= 1.0:
        return Repaired(inputs.tuned, facts)
    return Repaired(inputs.aligned.float() + options.weight * delta, facts)


def repair_pair(inputs: RepairInputs, options: InterpolationOptions) -> Repaired:
    """Give ``w B``: an adapter that does a share of its work."""
    assert inputs.pair is not None
    return Repaired(options.weight * inputs.pair[0].float(), {"cosine": 1.0})


METHOD = SafetyMethod(
    id="interpolation",
    title="Interpolation",
    family="safety",
    summary="Goes only part of the way from the aligned model to its fine-tune.",
    source="Linear interpolation of weights",
    options=InterpolationOptions,
    evidence="Its formula, checked directly.",
    repair=repair,
    repair_pair=repair_pair,
    budget="weight",
    treats_all=True,
    working_bytes=16,
)
