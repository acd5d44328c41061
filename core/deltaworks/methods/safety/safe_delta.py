"""Safe Delta: let changes back in by use per harm, then nudge the rest to make up for them.

Source: Lu et al., "Safe Delta", ICML 2025, arXiv:2505.12038; ColinLu50/SafeDelta. Departures
in the default: costs are held to a share of the whole delta's, the layer is one block, every
column answers. With ``budget=authors`` it is the authors' program, but for dead inputs, which
get the mean of the diagonal where the authors take 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from deltaworks.methods.method import Needs
from deltaworks.methods.safety.admission import Admission, admit, column_squares, row_groups
from deltaworks.methods.safety.compensation import (
    answered,
    joint,
    plain,
    summed,
    without_neighbours,
)
from deltaworks.methods.safety.layer_inputs import (
    change_facts,
    damage,
    factor_of,
    gram_of,
    work_dtype,
)
from deltaworks.methods.safety_record import Repaired, SafetyMethod
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.safety_record import RepairInputs

AUTHORS = {"protect": 0.15, "block": 2048, "group": 4}
"""What ``budget=authors`` takes where the user says nothing."""
_ROWS_OF_AUTHORS = 4096


class SafeDeltaOptions(Options):
    """Options of Safe Delta."""

    budget: Literal["fraction", "authors"] = option(
        "fraction",
        title="Budget",
        help="What may be spent in each layer. The authors' budget takes their block, group and "
        "protected share too, where they are not given.",
        labels={
            "fraction": "Share of the whole change's cost",
            "authors": "Absolute, as the authors' program",
        },
    )
    rho: float = option(
        0.5,
        title="Share of the cost (rho)",
        help="Budget 'fraction': 0 gives the aligned model, 1 the fine-tune. More keeps more of "
        "the skill and less of the safety.",
        ge=0.0,
        le=1.0,
        unit="fraction",
        step=0.05,
        sweepable=True,
        sweep=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0),
    )
    s: float = option(
        0.1,
        title="Scale (s)",
        help="Budget 'authors': depends on how large the change is; theirs is 0.1 for models of "
        "7 billion weights. More keeps more of the skill and less of the safety.",
        ge=0.0,
        le=1e9,
        sweepable=True,
        log=True,
    )
    compensation: Literal["sequential", "joint", "none", "sum"] = option(
        "sequential",
        title="Compensation",
        help="How the weights that stay make up for those that are let in.",
        labels={
            "sequential": "Left to right, as the authors' program",
            "joint": "All at once, least damage",
            "none": "Not at all",
            "sum": "Summed, as the paper's formula; may do harm",
        },
    )
    key: Literal["cholesky", "inverse"] = option(
        "cholesky",
        title="Cost of a column",
        help="Which curvature orders the columns: with those to the left held fixed, or with "
        "all others free.",
        advanced=True,
        labels={"cholesky": "Sequential, as the authors' program", "inverse": "As the paper"},
    )
    hessian: Literal["full", "diagonal"] = option(
        "full",
        title="Curvature",
        help="The diagonal needs far less memory and time; nothing is compensated then.",
        advanced=True,
        labels={"full": "Full matrix", "diagonal": "Diagonal only"},
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
    protect: float = option(
        0.0,
        title="Protected share",
        help="Share of the changes, the most harmful ones, that never come back. The authors: "
        "0.15.",
        ge=0.0,
        lt=1.0,
        unit="fraction",
        advanced=True,
    )
    block: int = option(
        0,
        title="Columns a block",
        help="Each block has a budget of its own. 0 takes the whole layer; the authors: 2048.",
        ge=0,
        advanced=True,
    )
    group: int = option(
        1,
        title="Columns a group",
        help="Columns of a group do not answer each other, to save time. 1 is exact; the "
        "authors: 4.",
        ge=1,
        advanced=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _as_authors(cls, values: Any) -> Any:
        """Fill in the authors' values where their budget is chosen and nothing is said."""
        if isinstance(values, dict) and values.get("budget") == "authors":
            return {**AUTHORS, **values}
        return values


def repair(inputs: RepairInputs, options: SafeDeltaOptions) -> Repaired:
    """Give the aligned tensor with the changes that the budget lets back in."""
    if options.budget == "fraction" and options.rho <= 0.0:
        return Repaired(inputs.aligned, _edge(inputs, 0.0))
    if options.budget == "fraction" and options.rho >= 1.0 and not options.protect:
        return Repaired(inputs.tuned, _edge(inputs, 1.0))
    aligned, tuned = inputs.aligned.float(), inputs.tuned.float()
    delta = tuned - aligned
    layer = _Layer(delta, inputs, options)
    change = layer.repaired()
    out = aligned + change.float()
    for rows, chosen in row_groups(layer.admissions):
        out[rows, chosen] = tuned[rows, chosen]  # sums of floats need not give it back
    return Repaired(out, layer.facts(change))


def _edge(inputs: RepairInputs, share: float) -> dict[str, float]:
    """Facts of a repair that takes one model whole."""
    delta = inputs.tuned.float() - inputs.aligned.float()
    return {
        **change_facts(delta, delta * share),
        "admitted": share * delta.numel(),
        "admitted_share": share,
    }


class _Layer:
    """One layer: its curvature, what is admitted, and the change."""

    def __init__(self, delta: Tensor, inputs: RepairInputs, options: SafeDeltaOptions) -> None:
        self._delta, self._options = delta, options
        self.admissions: list[Admission] = []
        self._upper: Tensor | None = None
        if options.hessian == "diagonal":
            self._keys, self._dead, self._damping = _diagonal_keys(inputs, options.damping)
            return
        factor = factor_of(inputs, options.damping, "Safe Delta")
        self._upper = factor.upper.to(work_dtype(delta.shape[1]))
        self._dead, self._damping = int(factor.dead.sum()), factor.damping
        by_column = options.key == "cholesky"
        inverse = self._upper.diagonal() if by_column else self._upper.norm(dim=0)
        self._keys = inverse.double() ** -2

    def repaired(self) -> Tensor:
        """Admit, and compensate."""
        if self._options.compensation == "sequential" and self._upper is not None:
            return self._sequential(self._upper)
        for span in self._blocks():
            self._admit(span, self._delta[:, span])
        groups = list(row_groups(self.admissions))
        if self._upper is None or self._options.compensation == "none":
            return plain(self._delta, groups)
        answer = joint if self._options.compensation == "joint" else summed
        return answer(self._delta.to(self._upper.dtype), groups, self._upper)

    def _sequential(self, upper: Tensor) -> Tensor:
        """Block by block: each is admitted after those to its left were answered for."""
        import torch

        delta = self._delta.to(upper.dtype)
        change = torch.zeros_like(delta)
        for span in self._blocks():
            admission = self._admit(span, delta[:, span] - change[:, span])
            groups = [(rows, chosen - span.start) for rows, chosen in row_groups([admission])]
            own = without_neighbours(upper[span, span], self._options.group)
            change[:, span], errors = answered(delta[:, span], change[:, span], groups, own)
            change[:, span.stop :] -= errors @ upper[span, span.stop :]
        return change

    def _blocks(self) -> list[slice]:
        width = self._delta.shape[1]
        step = self._options.block or width
        return [slice(start, min(start + step, width)) for start in range(0, width, step)]

    def _admit(self, span: slice, delta: Tensor) -> Admission:
        keys = self._keys[span]
        if self._options.budget == "authors":
            rows = len(delta) / _ROWS_OF_AUTHORS
            budget = float(keys.mean()) * (self._options.s / 2) * rows
        else:
            budget = self._options.rho * float((column_squares(delta) * keys).sum())
        protect = self._options.protect
        found = admit(delta, keys, first=span.start, budget=budget, protect=protect)
        self.admissions.append(found)
        return found

    def facts(self, change: Tensor) -> dict[str, float]:
        """Say what was admitted, what it cost and what it harms on the safety texts."""
        admitted = sum(one.count for one in self.admissions)
        facts = {
            **change_facts(self._delta, change),
            "admitted": float(admitted),
            "admitted_share": admitted / self._delta.numel(),
            "budget": sum(one.budget for one in self.admissions),
            "spent": sum(one.spent for one in self.admissions),
            "boundary": float(self.admissions[-1].boundary),
            "damping": self._damping,
            "dead_inputs": float(self._dead),
        }
        return facts | self._damages(change)

    def _damages(self, change: Tensor) -> dict[str, float]:
        bare = plain(self._delta, row_groups(self.admissions))
        if self._upper is None:
            full, without, final = (
                float((column_squares(one) * self._keys).sum()) / 2
                for one in (self._delta, bare, change)
            )
        else:
            full = damage(self._delta, self._upper)
            without = damage(bare, self._upper)
            is_bare = self._options.compensation == "none"
            final = without if is_bare else damage(change, self._upper)
        return {
            "damage_full": full,
            "damage_uncompensated": without,
            "damage": final,
            "damage_share": final / full if full else 0.0,
        }


def _diagonal_keys(inputs: RepairInputs, damping: float) -> tuple[Tensor, int, float]:
    """Give the damped activation energies, and how many inputs were always 0."""
    import torch

    gram = gram_of(inputs, "Safe Delta")
    energies = (gram if gram.ndim == 1 else gram.diagonal()).double()
    is_dead = energies == 0
    mean = energies[~is_dead].mean() if bool((~is_dead).any()) else torch.ones(())
    energies = torch.where(is_dead, mean.double(), energies)
    return energies + damping * energies.mean(), int(is_dead.sum()), damping


METHOD = SafetyMethod(
    id="safe-delta",
    title="Safe Delta",
    family="safety",
    summary="Lets the changes back in that harm refusals least, and makes up for them.",
    source="arXiv:2505.12038, ColinLu50/SafeDelta at 3a4ea35",
    options=SafeDeltaOptions,
    needs=Needs(statistics=("gram",)),
    evidence="With the authors' budget, compared with their function on small matrices; "
    "worked numbers and optimality checked. The joint compensation and the budget as a share "
    "are ours.",
    repair=repair,
    texts=("safety",),
    gram_of=("aligned", "safety"),
    is_diagonal=lambda options: options.hessian == "diagonal",
    budget="rho",
    others="aligned",
    working_bytes=44,
    square_bytes=36,
)
