"""IRR: identify changes against safety, remove them, recalibrate the rest.

Source: Wu et al., "Separate the Wheat from the Chaff", ACL Findings 2025, arXiv:2412.11041;
pikepokenew/IRR. Departure in the default: an entry whose safety vector is zero is no
interference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from deltaworks.methods.method import Needs, Statistic
from deltaworks.methods.safety.frozen_update import frozen_update
from deltaworks.methods.safety.layer_inputs import change_facts, factor_of, work_dtype
from deltaworks.methods.safety_record import Repaired, SafetyMethod
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.safety_record import RepairInputs

_QUERY_AND_VALUE = ("q_proj", "v_proj")
_QUANTILES = (0.5, 0.9, 0.99)


class IrrOptions(Options):
    """Options of IRR."""

    keep_fraction: float = option(
        0.0,
        title="Kept among the interfering",
        help="Share of the changes against safety that stays, those of least importance. More "
        "keeps more of the skill and less of the safety.",
        ge=0.0,
        le=1.0,
        unit="fraction",
        step=0.05,
        sweepable=True,
        sweep=(0.0, 0.5, 0.9, 1.0),
    )
    recalibrate: bool = option(
        True,
        title="Recalibrate",
        help="Refit the changes that stay so that the layer's outputs on the task move least. "
        "Restores the whole behaviour of the fine-tune, unsafe answers too.",
    )
    ranking: Literal["interference", "remove-more", "importance", "magnitude", "random"] = option(
        "interference",
        title="Which may go",
        help="Candidates for removal, and what orders them.",
        advanced=True,
        labels={
            "interference": "Those against safety, by importance",
            "remove-more": "All; those against safety first",
            "importance": "All, by importance alone",
            "magnitude": "All, by size",
            "random": "All, at random",
        },
    )
    zero_policy: Literal["strict", "official"] = option(
        "strict",
        title="Where the safety vector is zero",
        help="The authors' rule removes a change wherever the safety vector is zero, such as in "
        "tensors that it does not touch.",
        advanced=True,
        labels={"strict": "Keep the change", "official": "Remove it, as the authors"},
    )
    mask_from: Literal["current", "original"] = option(
        "current",
        title="Signs of",
        help="Whether interference is told from the change as adjusted so far, or as it was.",
        advanced=True,
        labels={"current": "The adjusted change, as the authors", "original": "The change itself"},
    )
    targets: Literal["auto", "all", "qv"] = option(
        "auto",
        title="Layers",
        help="The authors treat queries and values of adapters, all matrices of full fine-tunes.",
        advanced=True,
        labels={"auto": "As the authors", "all": "All", "qv": "Queries and values"},
    )
    grams: Literal["sequential", "once"] = option(
        "sequential",
        title="Inputs of a layer",
        help="Whether blocks before a layer are already repaired when its inputs are taken.",
        advanced=True,
        labels={"sequential": "After repairs, as the authors", "once": "Of the fine-tune"},
    )
    block: int = option(
        128,
        title="Columns a block",
        help="Importance is compared inside blocks of so many columns.",
        ge=1,
        advanced=True,
    )
    damping: float = option(
        0.01,
        title="Damping",
        help="Added to the diagonal of the inputs' second moments, as a share of its mean.",
        gt=0.0,
        le=10.0,
        unit="fraction",
        log=True,
        advanced=True,
    )


def repair(inputs: RepairInputs, options: IrrOptions) -> Repaired:
    """Give the aligned tensor with the changes that stay, refitted."""
    away = inputs.unaligned if inputs.unaligned is not None else inputs.pretrained
    assert away is not None
    aligned, tuned = inputs.aligned.float(), inputs.tuned.float()
    vector = aligned - away.float()
    delta = (tuned - aligned).to(work_dtype(tuned.shape[1]))
    rule = _Removal(vector, inputs, options, delta)
    facts = {"zero_vector_share": float((vector == 0).sum()) / vector.numel()}
    upper: Tensor | None = None
    start = delta
    if options.recalibrate:
        factor = factor_of(inputs, options.damping, "IRR")
        upper = factor.upper.to(delta.dtype)
        facts |= {"damping": factor.damping, "dead_inputs": float(factor.dead.sum())}
        if bool(factor.dead.any()):
            start = delta.masked_fill(factor.dead, 0.0)
    moved, damage = frozen_update(start, upper, rule.choose, block=options.block)
    out = aligned + moved.float()
    stays = moved == delta
    out[stays] = tuned[stays]  # sums of floats need not give it back
    if upper is not None:
        facts["damage"] = damage
    return Repaired(out, facts | rule.facts() | change_facts(delta, moved))


class _Removal:
    """Says block by block which changes go."""

    def __init__(
        self, vector: Tensor, inputs: RepairInputs, options: IrrOptions, delta: Tensor
    ) -> None:
        self._vector, self._options = vector, options
        self._original = delta if options.mask_from == "original" else None
        needs = options.ranking in {"interference", "remove-more", "importance"}
        needs &= options.ranking != "interference" or options.keep_fraction > 0.0
        assert not needs or inputs.fisher is not None
        self._fisher = inputs.fisher().float() if needs and inputs.fisher else None
        self._chance = _chances(inputs, vector) if options.ranking == "random" else None
        self._interfering = self._removed = 0

    def choose(self, span: slice, current: Tensor) -> tuple[Tensor, Tensor]:
        """Give the entries that are set to zero in a block of columns."""
        import torch

        delta = current if self._original is None else self._original[:, span]
        against = self._against(delta, self._vector[:, span])
        self._interfering += int(against.sum())
        only_against = self._options.ranking == "interference"
        candidates = against if only_against else torch.ones_like(against)
        removed = self._highest(self._scores(span, delta, against), candidates)
        self._removed += int(removed.sum())
        return removed, torch.zeros_like(current)

    def _against(self, delta: Tensor, vector: Tensor) -> Tensor:
        if self._options.zero_policy == "official":
            return delta.sign() != vector.sign()
        return delta.sign() * vector.sign() < 0

    def _scores(self, span: slice, delta: Tensor, against: Tensor) -> Tensor:
        import torch

        match self._options.ranking:
            case "magnitude":
                return delta.abs().float()
            case "random":
                assert self._chance is not None
                return self._chance[:, span]
        if self._fisher is None:  # nothing is kept, so no order is needed
            return torch.zeros(delta.shape)
        fisher = self._fisher[:, span]
        if self._options.ranking == "remove-more":
            return torch.where(against, fisher, -fisher)
        return fisher

    def _highest(self, scores: Tensor, candidates: Tensor) -> Tensor:
        """Mark candidates but the lowest ``floor(n * keep_fraction)``; rows first on ties."""
        import torch

        found = scores[candidates]
        order = found.argsort(stable=True)
        removed = torch.ones(len(found), dtype=torch.bool)
        removed[order[: int(len(found) * self._options.keep_fraction)]] = False
        mask = torch.zeros_like(candidates)
        mask[candidates] = removed
        return mask

    def facts(self) -> dict[str, float]:
        """Say how many went, and how importance is spread."""
        total = self._vector.numel()
        facts = {
            "interference_share": self._interfering / total,
            "removed": float(self._removed),
            "removed_share": self._removed / total,
        }
        if self._fisher is not None:
            values = self._fisher.flatten().sort().values
            for share in _QUANTILES:
                place = min(len(values) - 1, int(share * len(values)))
                facts[f"fisher_q{round(100 * share)}"] = float(values[place])
        return facts


def _chances(inputs: RepairInputs, like: Tensor) -> Tensor:
    """Draw one number an entry."""
    import torch

    from deltaworks.numerics.seeds import raw_words

    spec = inputs.spec
    words = raw_words(spec.seed, spec.name, like.numel(), "irr random")
    return torch.from_numpy((words >> 40).astype("float32")).view(like.shape)


def _wants(options: IrrOptions) -> tuple[Statistic, ...]:
    ranked = options.ranking in {"remove-more", "importance"}
    by_fisher = ranked or (options.ranking == "interference" and options.keep_fraction > 0.0)
    wanted: list[Statistic] = ["gram"] if options.recalibrate else []
    return (*wanted, "fisher") if by_fisher else tuple(wanted)


def _treats(layer: str, is_adapter: bool, options: IrrOptions) -> bool:
    chosen = options.targets
    if chosen == "all" or (chosen == "auto" and not is_adapter):
        return True
    return layer.endswith(_QUERY_AND_VALUE)


METHOD = SafetyMethod(
    id="irr",
    title="IRR",
    family="safety",
    summary="Removes changes that point away from safety, and refits the rest on the task.",
    source="arXiv:2412.11041, pikepokenew/IRR at cc431b6",
    options=IrrOptions,
    needs=Needs(statistics=("gram",), helped_by=("fisher",)),
    evidence="With the authors' rules, compared with their function on small matrices; worked "
    "numbers checked.",
    is_random=True,
    repair=repair,
    inputs=(("unaligned", "pretrained"),),
    texts=("task", "safety"),
    gram_of=("tuned", "task"),
    wants=_wants,
    recomputes=lambda options: options.recalibrate and options.grams == "sequential",
    budget="keep_fraction",
    treats=_treats,
    working_bytes=56,
    square_bytes=24,
)
