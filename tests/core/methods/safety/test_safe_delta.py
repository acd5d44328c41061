from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from deltaworks.errors import MismatchError, OptionError
from deltaworks.methods import safety_method
from deltaworks.methods.safety.admission import admit, mask_of, row_groups
from deltaworks.methods.safety.compensation import answered, joint, plain, summed
from deltaworks.methods.safety.frozen_update import frozen_update
from deltaworks.methods.safety.layer_inputs import damage
from deltaworks.methods.safety.safe_delta import SafeDeltaOptions
from deltaworks.options import read_options

A = torch.tensor([[2.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
C = torch.tensor([[2.0, 1.0, 1.0], [1.0, 2.0, -1.0], [1.0, -1.0, 2.2]], dtype=torch.float64)


def _upper(h: Tensor) -> Tensor:
    upper: Tensor = torch.linalg.cholesky(torch.linalg.inv(h.double()), upper=True)
    return upper


def _loss(change: Tensor, h: Tensor) -> float:
    return float((change.double() @ h.double() * change.double()).sum()) / 2


def _sequential(delta: Tensor, columns: list[int], h: Tensor) -> Tensor:
    groups = [(slice(0, len(delta)), torch.tensor(columns))]
    return answered(delta, torch.zeros_like(delta), groups, _upper(h))[0]


def _groups(delta: Tensor, columns: list[int]) -> list[tuple[slice, Tensor]]:
    return [(slice(0, len(delta)), torch.tensor(columns))]


# --- worked numbers -------------------------------------------------------------------------


def test_worked_a_costs_do_not_add_up_to_the_damage() -> None:
    delta = torch.tensor([[0.2, -0.5]], dtype=torch.float64)
    upper = _upper(A)

    assert torch.allclose(upper, torch.tensor([[1.0, -1.0], [0.0, 1.0]], dtype=torch.float64))
    assert damage(delta, upper) == pytest.approx(0.065)
    assert (delta**2 / upper.diagonal() ** 2).tolist() == [pytest.approx([0.04, 0.25])]
    paper = delta**2 / (2 * upper.square().sum(0))
    assert paper.tolist() == [pytest.approx([0.02, 0.0625])]


@pytest.mark.parametrize(
    ("columns", "none", "added", "in_turn"),
    [
        ([0], 0.040, ([0.2, -0.2], 0.020), ([0.2, -0.2], 0.020)),
        ([1], 0.125, ([0.25, -0.5], 0.0625), ([0.0, -0.5], 0.125)),
        ([0, 1], 0.065, ([0.2, -0.5], 0.065), ([0.2, -0.5], 0.065)),
    ],
)
def test_worked_a_compensations(
    columns: list[int],
    none: float,
    added: tuple[list[float], float],
    in_turn: tuple[list[float], float],
) -> None:
    delta = torch.tensor([[0.2, -0.5]], dtype=torch.float64)
    groups = _groups(delta, columns)

    assert _loss(plain(delta, groups), A) == pytest.approx(none)
    for change, (values, loss) in (
        (summed(delta, groups, _upper(A)), added),
        (_sequential(delta, columns, A), in_turn),
    ):
        assert change[0].tolist() == pytest.approx(values)
        assert _loss(change, A) == pytest.approx(loss)


B_KEYS = torch.tensor([1.0, 4.0, 9.0, 0.25], dtype=torch.float64)
B_DELTA = torch.tensor([[1.0, 0.5, 0.2, 2.0], [0.5, 1.0, 0.1, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("rho", "admitted"),
    [
        (0.3, [[1, 0, 0, 1], [1, 0, 0, 1]]),
        (0.5, [[1, 1, 0, 1], [1, 0, 0, 1]]),
        (0.95, [[1, 1, 0, 1], [1, 1, 0, 1]]),
    ],
)
def test_worked_b_selection(rho: float, admitted: list[list[int]]) -> None:
    found = admit(B_DELTA, B_KEYS, budget=rho * 7.70)

    assert mask_of([found], 4).int().tolist() == admitted
    assert found.spent <= found.budget


def test_worked_b_running_sums_and_authors_budget(repair: Any) -> None:
    spent = [admit(B_DELTA, B_KEYS, budget=rho * 7.70).spent for rho in (0.3, 0.5, 0.95)]
    assert spent == pytest.approx([2.25, 3.25, 7.25])

    aligned = torch.zeros(2, 4)
    facts = repair(
        "safe-delta",
        aligned,
        B_DELTA.float(),
        h=torch.diag(B_KEYS),
        budget="authors",
        s=2655.9,
        protect=0.0,
    ).facts
    assert facts["budget"] == pytest.approx(2.31, rel=1e-4)
    assert facts["admitted"] == 4


@pytest.mark.parametrize(
    ("last", "none", "added", "in_turn", "best"),
    [(1.0, 3.1, 3.10346, 3.98581, 3.1), (-1.0, 1.1, 0.98581, 0.10346, 0.1)],
)
def test_worked_c_compensation_can_hurt(
    last: float, none: float, added: float, in_turn: float, best: float
) -> None:
    delta = torch.tensor([[1.0, 0.0, last]], dtype=torch.float64)
    groups = _groups(delta, [0, 2])
    upper = _upper(C)

    assert upper.diagonal().tolist() == pytest.approx([2.380476, 0.804400, 0.674200], abs=1e-6)
    assert _loss(plain(delta, groups), C) == pytest.approx(none)
    assert _loss(summed(delta, groups, upper), C) == pytest.approx(added, abs=1e-5)
    assert _loss(_sequential(delta, [0, 2], C), C) == pytest.approx(in_turn, abs=1e-5)
    together = joint(delta, groups, upper)
    assert _loss(together, C) == pytest.approx(best)
    if last < 0:
        assert together[0].tolist() == pytest.approx([1, -1, -1])


# --- invariants -----------------------------------------------------------------------------


def test_no_budget_gives_the_aligned_model_and_all_of_it_the_tuned_one(
    repair: Any, layer: Any
) -> None:
    aligned, tuned, h = layer()
    aligned, tuned = aligned.bfloat16(), tuned.bfloat16()

    assert torch.equal(repair("safe-delta", aligned, tuned, h=h, rho=0.0).tensor, aligned)
    assert torch.equal(repair("safe-delta", aligned, tuned, h=h, rho=1.0).tensor, tuned)
    authors = {"h": h, "budget": "authors", "protect": 0.0}
    none = repair("safe-delta", aligned, tuned, **authors, s=0.0).tensor
    everything = repair("safe-delta", aligned, tuned, **authors, s=1e9).tensor
    assert torch.equal(none.bfloat16(), aligned)
    assert torch.equal(everything.bfloat16(), tuned)


@pytest.mark.parametrize("protect", [0.15, 0.5])
def test_protected_entries_never_come_back(repair: Any, layer: Any, protect: float) -> None:
    aligned, tuned, h = layer()

    facts = repair("safe-delta", aligned, tuned, h=h, budget="authors", s=1e9, protect=protect)
    assert facts.facts["admitted"] == 48 - int(protect * 48)


def test_a_layer_too_small_for_its_protected_share_loses_nothing(repair: Any) -> None:
    aligned, tuned = torch.zeros(2, 3), torch.ones(2, 3)

    facts = repair("safe-delta", aligned, tuned, h=C, budget="authors", s=1e9).facts

    assert int(0.15 * 6) == 0
    assert facts["admitted"] == 6


@pytest.mark.parametrize("key", ["cholesky", "inverse"])
def test_masks_are_nested_and_budgets_are_kept(repair: Any, layer: Any, key: str) -> None:
    aligned, tuned, h = layer(rows=5, columns=7)
    before = torch.zeros(5, 7, dtype=torch.bool)
    spent = -1.0
    for rho in (0.05, 0.1, 0.3, 0.5, 0.7, 0.85, 0.99):
        found = repair("safe-delta", aligned, tuned, h=h, rho=rho, key=key)
        mask = found.tensor == tuned
        assert bool((mask | ~before).all())
        assert found.facts["admitted"] == int(mask.sum()) >= int(before.sum())
        assert spent <= found.facts["spent"] <= found.facts["budget"]
        before, spent = mask, found.facts["spent"]


def test_scales_of_inputs_and_change_do_not_matter(repair: Any, layer: Any) -> None:
    aligned, _, h = layer()
    tuned = aligned + torch.randn(6, 8, generator=torch.Generator().manual_seed(5))
    zero = torch.zeros_like(aligned)
    change = tuned - aligned

    once = repair("safe-delta", zero, change, h=h, rho=0.4)
    louder = repair("safe-delta", zero, change, h=9 * h, rho=0.4)
    larger = repair("safe-delta", zero, 4 * change, h=h, rho=0.4)

    assert torch.allclose(louder.tensor, once.tensor, atol=1e-6)
    assert torch.allclose(larger.tensor, 4 * once.tensor, atol=1e-5)
    authors = {"budget": "authors", "group": 1}
    twice = repair("safe-delta", zero, 2 * change, h=h, s=400.0, **authors)
    quarter = repair("safe-delta", zero, change, h=h, s=100.0, **authors)
    assert 0 < quarter.facts["admitted"] < 48
    assert twice.facts["admitted"] == quarter.facts["admitted"]


@pytest.mark.parametrize("compensation", ["sequential", "joint", "sum", "none"])
@pytest.mark.parametrize("key", ["cholesky", "inverse"])
def test_diagonal_curvature_needs_no_compensation(
    repair: Any, layer: Any, compensation: str, key: str
) -> None:
    aligned, tuned, h = layer()
    energies = h.diagonal()

    options = {"rho": 0.5, "compensation": compensation, "key": key}
    full = repair("safe-delta", aligned, tuned, h=torch.diag(energies), **options)
    alone = repair("safe-delta", aligned, tuned, h=energies, rho=0.5, hessian="diagonal")

    is_in, is_out = full.tensor == tuned, full.tensor == aligned
    assert bool((is_in | is_out).all())
    assert torch.equal(alone.tensor, full.tensor)
    whole = is_in.all(0)
    assert energies[whole].max() < energies[~is_in.any(0)].min()


def test_one_admitted_entry_costs_what_the_formulas_say() -> None:
    h = C.clone()
    inverse, upper = torch.linalg.inv(h), _upper(h)
    delta = torch.tensor([[0.0, 0.7, 0.0]], dtype=torch.float64)

    added = summed(delta, _groups(delta, [1]), upper)
    in_turn = _sequential(delta, [1], h)

    assert _loss(added, h) == pytest.approx(0.49 / (2 * float(inverse[1, 1])))
    assert _loss(in_turn, h) == pytest.approx(0.49 / (2 * float(upper[1, 1]) ** 2))
    order = torch.tensor([1, 0, 2])
    turned = _sequential(delta[:, order], [0], h[order][:, order])
    assert torch.allclose(turned[:, order], added)


def test_joint_is_the_optimum(layer: Any) -> None:
    for seed in range(5):
        aligned, tuned, h = layer(seed=seed)
        delta = (tuned - aligned).double()
        upper = _upper(h)
        found = admit(delta, upper.diagonal() ** -2.0, budget=0.3)
        groups = list(row_groups([found]))
        best = joint(delta, groups, upper)
        in_turn = answered(delta, torch.zeros_like(delta), groups, upper)[0]
        others = [plain(delta, groups), summed(delta, groups, upper), in_turn]

        assert all(_loss(best, h) <= _loss(other, h) + 1e-12 for other in others)
        assert float((best @ h)[~mask_of([found], 8)].abs().max()) < 1e-9


def test_sequential_damage_is_half_the_sum_of_squared_errors(layer: Any) -> None:
    aligned, tuned, h = layer()
    delta, upper = (tuned - aligned).double(), _upper(h)
    found = admit(delta, upper.diagonal() ** -2.0, budget=0.3)

    groups = list(row_groups([found]))
    change, errors = answered(delta, torch.zeros_like(delta), groups, upper)

    assert 0 < found.count < delta.numel()
    assert float(errors.square().sum()) / 2 == pytest.approx(_loss(change, h), rel=1e-10)
    assert damage(change, upper) == pytest.approx(_loss(change, h), rel=1e-10)


@pytest.mark.parametrize("block", [1, 2, 7, 8])
def test_blocks_change_nothing_when_the_mask_is_fixed(layer: Any, block: int) -> None:
    aligned, tuned, h = layer()
    delta, upper = (tuned - aligned).double(), _upper(h)
    found = admit(delta, upper.diagonal() ** -2.0, budget=0.3)
    mask = mask_of([found], 8)
    groups = list(row_groups([found]))
    whole = answered(delta, torch.zeros_like(delta), groups, upper)[0]

    # the same by columns: from no change, admitted entries are set to their delta
    still = torch.zeros_like(delta)
    change, loss = frozen_update(
        still, upper, lambda span, _: (mask[:, span], delta[:, span]), block=block
    )

    assert torch.allclose(change, whole, atol=1e-10)
    assert loss == pytest.approx(_loss(whole, h), rel=1e-9)


def test_compensation_does_good_on_average(repair: Any, layer: Any) -> None:
    for block in (0, 5):
        ratios = []
        for seed in range(8):
            aligned, tuned, h = layer(seed=seed, rows=12, columns=16)
            facts = repair("safe-delta", aligned, tuned, h=h, rho=0.1, block=block).facts
            ratios.append(facts["damage"] / facts["damage_uncompensated"])
        assert sum(ratios) / len(ratios) < 0.9


def test_facts_say_what_the_arithmetic_did(repair: Any, layer: Any) -> None:
    aligned, tuned, h = layer()

    found = repair("safe-delta", aligned, tuned, h=h, rho=0.4)

    facts, change = found.facts, found.tensor - aligned
    assert facts["damage_full"] == pytest.approx(_loss(tuned - aligned, h), rel=1e-5)
    assert facts["damage"] == pytest.approx(_loss(change, h), rel=1e-4)
    bare = torch.where(found.tensor == tuned, tuned - aligned, torch.zeros(()))
    assert facts["damage_uncompensated"] == pytest.approx(_loss(bare, h), rel=1e-5)
    assert facts["out_norm"] == pytest.approx(float(change.norm()), rel=1e-5)


# --- options --------------------------------------------------------------------------------


def test_the_authors_budget_brings_their_other_values() -> None:
    def given(**values: Any) -> tuple[float, int, int]:
        options = read_options(SafeDeltaOptions, values, where="test")
        return options.protect, options.block, options.group

    assert given() == (0.0, 0, 1)
    assert given(budget="authors") == (0.15, 2048, 4)
    assert given(budget="authors", group=1, protect=0.0) == (0.0, 2048, 1)
    with pytest.raises(OptionError, match="rho"):
        given(rho=1.5)


def test_without_texts_it_says_so(repair: Any, layer: Any) -> None:
    aligned, tuned, _ = layer()

    with pytest.raises(MismatchError, match="no text was run through it"):
        repair("safe-delta", aligned, tuned)
    assert safety_method("safe-delta").statistics(SafeDeltaOptions()) == ("gram",)
