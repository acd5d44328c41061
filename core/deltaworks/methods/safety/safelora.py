"""SafeLoRA: project the changes of some layers onto the directions of alignment.

Source: Hsu et al., "Safe LoRA", NeurIPS 2024, arXiv:2405.16833; IBM/SafeLoRA. For full
fine-tunes as in pikepokenew/IRR. Departure: A and B are paired by name, not by order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from deltaworks.methods.safety.layer_inputs import change_facts
from deltaworks.methods.safety.projection import (
    Projector,
    cosine_of,
    cosine_of_pairs,
    project,
)
from deltaworks.methods.safety_record import FirstLook, Repaired, SafetyMethod
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.safety_record import RepairInputs


class SafeLoraOptions(Options):
    """Options of SafeLoRA."""

    selection: Literal["threshold", "number"] = option(
        "threshold",
        title="Choose layers by",
        help="Which layers are projected: those whose change lies little in the directions of "
        "alignment, or so many of them.",
        labels={"threshold": "Cosine at most", "number": "Number of layers"},
    )
    threshold: float = option(
        0.5,
        title="Cosine at most (tau)",
        help="Layers whose cosine is at most this are projected. More is safer and costs skill.",
        ge=-1.0,
        le=1.0,
        sweepable=True,
        sweep=(0.2, 0.35, 0.5, 1.0),
    )
    number: int = option(
        10,
        title="Number of layers",
        help="How many layers are projected, those of the smallest cosine; equal ones too.",
        ge=1,
        sweepable=True,
    )
    projector: Projector = option(
        "approximate",
        title="Projector",
        help="The authors' is cheap, scales with the distance of the two models and is no "
        "true projection; the exact one is.",
        advanced=True,
        labels={"approximate": "As the authors", "exact": "Exact"},
    )
    reference: Literal["pretrained", "unaligned"] = option(
        "pretrained",
        title="Alignment measured from",
        help="Which model the aligned one is compared with; the other is taken where only that "
        "is given.",
        advanced=True,
        labels={"pretrained": "Pretrained base", "unaligned": "Unaligned model"},
    )


def repair(inputs: RepairInputs, options: SafeLoraOptions) -> Repaired:
    """Give ``W_a + P D`` where the cosine is at most tau, the fine-tune elsewhere."""
    aligned = inputs.aligned.float()
    delta = inputs.tuned.float() - aligned
    projected, facts = _projected(inputs, delta, options)
    if projected is None or facts["alignment_cosine"] > options.threshold:
        return Repaired(inputs.tuned, facts | change_facts(delta, delta))
    facts["projected"] = 1.0
    return Repaired(aligned + projected, facts | change_facts(delta, projected))


def repair_pair(inputs: RepairInputs, options: SafeLoraOptions) -> Repaired:
    """Give ``P B`` where the cosine is at most tau, B elsewhere; A stays."""
    assert inputs.pair is not None
    left, right = (one.float() for one in inputs.pair)
    vector = _vector(inputs, options)
    if not vector.any():
        return Repaired(inputs.pair[0], _skipped())
    moved = project(vector, left, options.projector)
    facts = {"alignment_cosine": cosine_of_pairs(moved, left, right), "projected": 0.0}
    if facts["alignment_cosine"] > options.threshold:
        return Repaired(inputs.pair[0], facts)
    return Repaired(moved, facts | {"projected": 1.0})


def score(inputs: RepairInputs, options: SafeLoraOptions) -> float:
    """Give a layer's cosine."""
    if inputs.pair is not None:
        left, right = (one.float() for one in inputs.pair)
        vector = _vector(inputs, options)
        if not vector.any():
            return 1.0
        return cosine_of_pairs(project(vector, left, options.projector), left, right)
    delta = inputs.tuned.float() - inputs.aligned.float()
    return _projected(inputs, delta, options)[1]["alignment_cosine"]


def settle(options: SafeLoraOptions, scores: Mapping[str, float]) -> SafeLoraOptions:
    """Turn a number of layers into the cosine of the last one among them."""
    ordered = sorted(scores.values())
    if not ordered:
        return options
    tau = ordered[min(options.number, len(ordered)) - 1]
    return options.model_copy(update={"threshold": tau})


def _projected(
    inputs: RepairInputs, delta: Tensor, options: SafeLoraOptions
) -> tuple[Tensor | None, dict[str, float]]:
    vector = _vector(inputs, options)
    if not vector.any():
        return None, _skipped()
    moved = project(vector, delta, options.projector)
    return moved, {"alignment_cosine": cosine_of(moved, delta), "projected": 0.0}


def _skipped() -> dict[str, float]:
    """Facts of a layer that alignment did not touch."""
    return {"alignment_cosine": 1.0, "projected": 0.0, "skipped": 1.0}


def _vector(inputs: RepairInputs, options: SafeLoraOptions) -> Tensor:
    """Give V, from the reference that is wanted or else the one that is there."""
    both = (inputs.pretrained, inputs.unaligned)
    first, second = both if options.reference == "pretrained" else both[::-1]
    reference = second if first is None else first
    assert reference is not None
    return inputs.aligned.float() - reference.float()


METHOD = SafetyMethod(
    id="safelora",
    title="SafeLoRA",
    family="safety",
    summary="Projects the changes of some layers onto the directions of alignment.",
    source="arXiv:2405.16833, IBM/SafeLoRA",
    options=SafeLoraOptions,
    evidence="Its formulas, checked directly; factor form against dense form.",
    repair=repair,
    repair_pair=repair_pair,
    inputs=(("pretrained", "unaligned"),),
    budget="threshold",
    first_look=FirstLook(lambda options: options.selection == "number", score, settle),
    working_bytes=28,
    square_bytes=4,
)
