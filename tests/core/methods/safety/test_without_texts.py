"""Methods that need no texts: interpolation, RESTA, SafeLoRA, SafeMERGE; and Antidote."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from deltaworks.methods.method import TensorSpec
from deltaworks.methods.safety.projection import cosine_of, cosine_of_pairs, project
from deltaworks.methods.safety.resta import RestaOptions
from deltaworks.methods.safety.resta import repair as repair_resta
from deltaworks.methods.safety.safelora import METHOD as SAFELORA
from deltaworks.methods.safety.safelora import SafeLoraOptions, settle
from deltaworks.methods.safety_record import RepairInputs


def _normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def three() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    aligned = _normal(6, 9)
    return aligned, aligned + 0.1 * _normal(6, 9, seed=1), aligned + 0.1 * _normal(6, 9, seed=2)


# --- interpolation and RESTA ----------------------------------------------------------------


def test_interpolation_has_exact_ends(repair: Any, three: Any) -> None:
    aligned, tuned, _ = three
    aligned, tuned = aligned.bfloat16(), tuned.bfloat16()

    assert torch.equal(repair("interpolation", aligned, tuned, weight=0).tensor, aligned)
    assert torch.equal(repair("interpolation", aligned, tuned, weight=1).tensor, tuned)
    half = repair("interpolation", aligned, tuned, weight=0.5).tensor
    assert torch.allclose(half, (aligned.float() + tuned.float()) / 2)


def test_worked_f() -> None:
    one = torch.ones(1)
    inputs = RepairInputs(TensorSpec("w", (1,)), one, 1.4 * one, unaligned=0.7 * one)

    found = repair_resta(inputs, RestaOptions(gamma=0.5, drop_rate=0))

    assert found.tensor.item() == pytest.approx(1.55)


def test_resta_edges_and_linearity(repair: Any, three: Any) -> None:
    aligned, tuned, away = three

    def resta(gamma: float, unaligned: torch.Tensor = away) -> torch.Tensor:
        options = {"gamma": gamma, "drop_rate": 0.0}
        found: torch.Tensor = repair("resta", aligned, tuned, unaligned=unaligned, **options).tensor
        return found

    assert torch.equal(resta(0.0), tuned)
    assert torch.allclose(resta(1.0, unaligned=tuned), aligned, atol=1e-6)
    assert torch.allclose(resta(0.75) - resta(0.25), 0.5 * (aligned - away), atol=1e-6)


@pytest.mark.parametrize("dare_on", ["delta", "vector", "both"])
def test_resta_drops_without_bias(repair: Any, dare_on: str) -> None:
    aligned = torch.zeros(2, 4)
    tuned, away = torch.full((2, 4), 0.5), torch.full((2, 4), -0.25)
    total, n_seeds = torch.zeros(2, 4), 2000

    for seed in range(n_seeds):
        options = {"gamma": 1.0, "drop_rate": 0.3, "dare_on": dare_on, "seed": seed}
        total += repair("resta", aligned, tuned, unaligned=away, **options).tensor

    sizes = {"delta": (0.5,), "vector": (0.25,), "both": (0.5, 0.25)}[dare_on]
    spread = sum(size**2 for size in sizes) * 0.3 / 0.7
    # 3 sigma on each of 8 entries; the seeds are fixed, so this holds or not for good
    assert (total / n_seeds - 0.75).abs().max() < 3 * (spread / n_seeds) ** 0.5


def test_resta_takes_the_base_where_there_is_no_unaligned_model(repair: Any, three: Any) -> None:
    aligned, tuned, away = three

    with_base = repair("resta", aligned, tuned, pretrained=away, drop_rate=0).tensor
    assert torch.equal(
        with_base, repair("resta", aligned, tuned, unaligned=away, drop_rate=0).tensor
    )


# --- SafeLoRA and SafeMERGE -----------------------------------------------------------------


def test_worked_e() -> None:
    vector = torch.diag(torch.tensor([3.0, 4.0]))
    left, right = torch.ones(2, 1), torch.tensor([[1.0, 0.0]])

    moved = project(vector, left, "approximate")

    assert moved.flatten().tolist() == pytest.approx([1.8, 3.2])
    assert cosine_of_pairs(moved, left, right) == pytest.approx(0.96296)
    inputs = RepairInputs(
        TensorSpec("w", (2, 2)), vector, vector, pretrained=0 * vector, pair=(left, right)
    )
    assert SAFELORA.repair_pair is not None
    kept = SAFELORA.repair_pair(inputs, SafeLoraOptions(threshold=0.5))
    assert torch.equal(kept.tensor, left)
    moved_too = SAFELORA.repair_pair(inputs, SafeLoraOptions(threshold=0.97))
    assert moved_too.tensor.flatten().tolist() == pytest.approx([1.8, 3.2])


def test_a_threshold_of_minus_one_changes_nothing(repair: Any, three: Any) -> None:
    aligned, tuned, base = three

    found = repair("safelora", aligned, tuned, pretrained=base, threshold=-1.0)

    assert torch.equal(found.tensor, tuned)


def test_orthonormal_rows_give_cosine_one() -> None:
    rows = torch.linalg.qr(_normal(9, 6).double()).Q.T
    change = _normal(6, 9, seed=1).double()

    moved = project(3 * rows, change, "approximate")

    assert cosine_of(moved, change) == 1.0


def test_orthogonal_columns_project_to_zero() -> None:
    vector, change = torch.zeros(4, 5), torch.zeros(4, 5)
    vector[:2] = _normal(2, 5)
    change[2:] = _normal(2, 5, seed=1)

    moved = project(vector, change, "approximate")

    assert not moved.any()
    assert cosine_of(moved, change) == 0.0


@pytest.mark.parametrize("shape", [(6, 9), (9, 6)])
def test_projectors_are_what_they_are_called(shape: tuple[int, int]) -> None:
    vector, change = _normal(*shape).double(), _normal(*shape, seed=1).double()
    vector[:, 3:] = vector[:, :1] * 2  # low rank

    once = project(vector, change, "exact")
    dense = (vector @ vector.T / vector.norm()) @ change

    assert torch.allclose(project(vector, once, "exact"), once, atol=1e-10)
    assert torch.allclose(project(vector, change, "approximate"), dense, atol=1e-10)


def test_factors_give_what_the_dense_form_gives() -> None:
    vector = _normal(6, 9).double()
    left, right = _normal(6, 2, seed=1).double(), _normal(2, 9, seed=2).double()
    moved = project(vector, left, "approximate")

    dense = project(vector, left @ right, "approximate")

    assert torch.allclose(moved @ right, dense, atol=1e-10)
    assert cosine_of_pairs(moved, left, right) == cosine_of(dense, left @ right)


def test_layers_that_alignment_left_alone_are_skipped(repair: Any, three: Any) -> None:
    aligned, tuned, _ = three

    found = repair("safelora", aligned, tuned, pretrained=aligned, threshold=1.0)

    assert torch.equal(found.tensor, tuned)
    assert found.facts["skipped"] == 1.0


def test_a_number_of_layers_becomes_the_cosine_of_the_last() -> None:
    scores = {"a": 0.5, "b": 0.1, "c": 0.3, "d": 0.3, "e": 0.9}

    def tau(number: int) -> float:
        return settle(SafeLoraOptions(selection="number", number=number), scores).threshold

    assert tau(1) == 0.1
    assert tau(2) == tau(3) == 0.3
    assert tau(99) == 0.9


def test_full_weights_are_projected_where_the_cosine_is_small(repair: Any, three: Any) -> None:
    aligned, tuned, base = three
    dense = aligned + project(aligned - base, tuned - aligned, "approximate")

    found = repair("safelora", aligned, tuned, pretrained=base, threshold=1.0)

    assert torch.allclose(found.tensor, dense)
    assert found.facts["projected"] == 1.0


def test_safemerge_blends_below_the_threshold_only(repair: Any, three: Any) -> None:
    aligned, tuned, base = three
    sibling = aligned + 0.1 * _normal(6, 9, seed=7)
    both = {"pretrained": base, "sibling": sibling}

    blended = repair("safemerge", aligned, tuned, **both, threshold=1.0, weight=0.25).tensor
    kept = repair("safemerge", aligned, tuned, **both, threshold=-1.0).tensor

    assert torch.allclose(blended, 0.75 * tuned + 0.25 * sibling)
    assert torch.equal(kept, tuned)


# --- Antidote -------------------------------------------------------------------------------


def test_antidote_removes_the_largest_scores_of_every_row(repair: Any) -> None:
    aligned = torch.zeros(2, 4)
    tuned = torch.tensor([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]])
    energies = torch.tensor([100.0, 1.0, 1.0, 1.0])

    found = repair("antidote", aligned, tuned, h=energies, ratio=0.25).tensor

    assert found.tolist() == [[0.0, 2.0, 3.0, 4.0], [0.0, 3.0, 2.0, 1.0]]
    assert torch.equal(repair("antidote", aligned, tuned, h=energies, ratio=0).tensor, tuned)
