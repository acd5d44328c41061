"""RESTA: add back the direction in which an unaligned model differs from the aligned one.

Source: Bhardwaj, Anh and Poria, "Language Models are Homer Simpson!", ACL 2024,
arXiv:2402.11746. The authors' default values could not be confirmed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from deltaworks.methods.safety.layer_inputs import change_facts
from deltaworks.methods.safety_record import Repaired, SafetyMethod
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.method import TensorSpec
    from deltaworks.methods.safety_record import RepairInputs


class RestaOptions(Options):
    """Options of RESTA."""

    gamma: float = option(
        0.5,
        title="Strength (gamma)",
        help="Multiplies the safety vector that is added. More is safer and costs more skill.",
        ge=-10.0,
        le=10.0,
        sweepable=True,
        sweep=(0.0, 0.25, 0.5, 0.75, 1.0),
    )
    drop_rate: float = option(
        0.3,
        title="Drop rate (p)",
        help="Share of entries dropped at random; the rest is scaled up to match. 0 drops none.",
        ge=0.0,
        lt=1.0,
        unit="fraction",
    )
    dare_on: Literal["delta", "vector", "both"] = option(
        "delta",
        title="Drop entries of",
        help="Which difference is thinned.",
        advanced=True,
        labels={
            "delta": "The fine-tune's change",
            "vector": "The safety vector",
            "both": "Both",
        },
    )


def repair(inputs: RepairInputs, options: RestaOptions) -> Repaired:
    """Give ``W_a + DARE(W_f - W_a) + gamma (W_a - W_u)``."""
    away = inputs.unaligned if inputs.unaligned is not None else inputs.pretrained
    assert away is not None
    aligned = inputs.aligned.float()
    delta = inputs.tuned.float() - aligned
    vector = aligned - away.float()
    facts = {"vector_norm": float(vector.double().norm())}
    thins_delta = options.drop_rate > 0 and options.dare_on != "vector"
    kept = thinned(delta, options.drop_rate, inputs.spec, "delta") if thins_delta else delta
    if options.drop_rate > 0 and options.dare_on != "delta":
        vector = thinned(vector, options.drop_rate, inputs.spec, "vector")
    if not options.gamma and kept is delta:
        return Repaired(inputs.tuned, facts | change_facts(delta, delta))
    start = aligned + kept if thins_delta else inputs.tuned.float()
    out = start + options.gamma * vector
    return Repaired(out, facts | change_facts(delta, out - aligned))


def thinned(values: Tensor, drop_rate: float, spec: TensorSpec, stream: str) -> Tensor:
    """Drop entries at random and divide the others by the share that is kept (DARE)."""
    import torch

    from deltaworks.numerics.masks import bernoulli_mask

    mask = bernoulli_mask(spec.seed, spec.name, values.numel(), drop_rate, f"resta {stream}")
    kept = torch.from_numpy(mask).view(values.shape)
    return torch.where(kept, values / (1.0 - drop_rate), torch.zeros(()))


METHOD = SafetyMethod(
    id="resta",
    title="RESTA",
    family="safety",
    summary="Adds the difference between the aligned model and one that was made unsafe.",
    source="arXiv:2402.11746",
    options=RestaOptions,
    evidence="Its formula, checked directly; which values its authors use is not known to us.",
    is_random=True,
    repair=repair,
    inputs=(("unaligned", "pretrained"),),
    budget="gamma",
    treats_all=True,
    working_bytes=28,
)
