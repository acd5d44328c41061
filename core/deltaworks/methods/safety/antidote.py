"""Antidote: zero the changes that work most on harmful texts.

Source: Huang et al., "Antidote", arXiv:2408.09600; git-disl/Antidote. It needs harmful
texts, which come with nobody but the user. Departure: on full fine-tunes the change is
pruned, as the authors prune an adapter, since zeroed weights would lose the model itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.method import Needs
from deltaworks.methods.safety.layer_inputs import change_facts, gram_of
from deltaworks.methods.safety_record import Repaired, SafetyMethod
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.safety_record import RepairInputs


class AntidoteOptions(Options):
    """Options of Antidote."""

    ratio: float = option(
        0.1,
        title="Share removed",
        help="Share of each row's changes that is zeroed, those with the largest product of "
        "size and input on harmful texts. More is safer and costs skill.",
        ge=0.0,
        le=1.0,
        unit="fraction",
        sweepable=True,
        sweep=(0.0, 0.05, 0.1, 0.2, 0.5),
    )


def repair(inputs: RepairInputs, options: AntidoteOptions) -> Repaired:
    """Give the fine-tune without the changes that have the largest Wanda scores."""
    import torch

    gram = gram_of(inputs, "Antidote")
    energies = gram if gram.ndim == 1 else gram.diagonal()
    aligned = inputs.aligned.float()
    delta = inputs.tuned.float() - aligned
    count = int(options.ratio * delta.shape[1])
    if not count:
        return Repaired(inputs.tuned, {"removed": 0.0} | change_facts(delta, delta))
    scores = delta.abs() * energies.float().clamp_min(0.0).sqrt()
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :count]
    removed = torch.zeros_like(delta, dtype=torch.bool).scatter_(1, order, True)
    out = torch.where(removed, aligned, inputs.tuned.float())
    facts = {"removed": float(removed.sum()), "removed_share": count / delta.shape[1]}
    return Repaired(out, facts | change_facts(delta, out - aligned))


METHOD = SafetyMethod(
    id="antidote",
    title="Antidote",
    family="safety",
    summary="Zeroes the changes that work most on harmful texts, which you have to bring.",
    source="arXiv:2408.09600, git-disl/Antidote",
    options=AntidoteOptions,
    needs=Needs(statistics=("gram",)),
    evidence="Its formula from a summary of the authors' program; not compared with it.",
    repair=repair,
    texts=("harmful",),
    gram_of=("tuned", "harmful"),
    is_diagonal=lambda _options: True,
    budget="ratio",
    working_bytes=32,
)
