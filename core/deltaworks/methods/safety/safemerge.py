"""SafeMERGE: blend layers that left the directions of alignment with a safe sibling's.

Source: Djuhera et al., "SafeMERGE", arXiv:2503.17239. The sibling is another fine-tune of
the aligned model, tuned to be safe; nothing here trains it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.safety.layer_inputs import change_facts
from deltaworks.methods.safety.safelora import SafeLoraOptions, score
from deltaworks.methods.safety_record import Repaired, SafetyMethod
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.safety_record import RepairInputs


class SafeMergeOptions(Options):
    """Options of SafeMERGE."""

    threshold: float = option(
        0.5,
        title="Cosine at most (tau)",
        help="Layers whose cosine is at most this are blended. More is safer and costs skill.",
        ge=-1.0,
        le=1.0,
        sweepable=True,
        sweep=(0.2, 0.35, 0.5, 1.0),
    )
    weight: float = option(
        0.5,
        title="Share of the sibling",
        help="How much of a blended layer comes from the safe sibling.",
        ge=0.0,
        le=1.0,
        unit="fraction",
        sweepable=True,
    )


def repair(inputs: RepairInputs, options: SafeMergeOptions) -> Repaired:
    """Give ``(1 - w) W_f + w W_s`` where the cosine is at most tau, ``W_f`` elsewhere."""
    assert inputs.sibling is not None
    aligned, tuned = inputs.aligned.float(), inputs.tuned.float()
    found = score(inputs, SafeLoraOptions())
    if found > options.threshold:
        facts = {"alignment_cosine": found, "blended": 0.0}
        return Repaired(inputs.tuned, facts | change_facts(tuned - aligned, tuned - aligned))
    out = tuned + options.weight * (inputs.sibling.float() - tuned)
    facts = {"alignment_cosine": found, "blended": 1.0}
    return Repaired(out, facts | change_facts(tuned - aligned, out - aligned))


METHOD = SafetyMethod(
    id="safemerge",
    title="SafeMERGE",
    family="safety",
    summary="Blends layers that left the directions of alignment with a safe sibling's.",
    source="arXiv:2503.17239",
    options=SafeMergeOptions,
    evidence="Its formula from a summary of the paper; not compared with the authors' program.",
    repair=repair,
    inputs=(("pretrained",), ("sibling",)),
    budget="threshold",
    working_bytes=32,
    square_bytes=4,
)
