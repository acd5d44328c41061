"""STAR, CART, WUDI, DOGE-TA, KnOTS, core space, Fisher and RegMean."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from deltaworks.methods import MERGING
from deltaworks.methods.merging.doge import DogeOptions, learn_shared
from deltaworks.methods.merging.knots import tie
from deltaworks.methods.merging.spectral import Deltas
from deltaworks.methods.merging_record import MergeExpert, MergeInputs
from deltaworks.methods.method import TensorSpec

W1 = torch.tensor([[3.0, 0.0], [0.0, 0.0]])
W3 = torch.tensor([[2.0, 2.0], [0.0, 0.0]])
Doubles = npt.NDArray[np.float64]


def _svd(matrix: Doubles) -> Any:
    return np.linalg.svd(matrix, full_matrices=False)


def _pairs(experts: list[Tensor]) -> list[Any]:
    return [(expert, {}) for expert in experts]


# --- STAR and CART ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kept", "expected"), [(40, [10, 0, 0, 0]), (50, [40 / 7, 30 / 7, 0, 0]), (100, [4, 3, 2, 1])]
)
def test_star_by_hand(merged: Any, kept: float, expected: list[float]) -> None:
    change = torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0]))

    found = merged("star", torch.zeros(4, 4), [(change, {})], kept=kept)

    torch.testing.assert_close(found, torch.diag(torch.tensor(expected)).float(), atol=1e-5, rtol=0)


def test_star_equals_float64(merged: Any, gaussian: Any) -> None:
    base, *experts = (gaussian(30, 40, seed=seed) for seed in range(4))

    found = merged("star", base, _pairs(experts), kept=55.0, scale=1.5)

    total = np.zeros((30, 40))
    for expert in experts:
        u, s, v = _svd((expert.double() - base.double()).numpy())
        k = int(np.searchsorted(np.cumsum(s), 0.55 * s.sum())) + 1
        total += (u[:, :k] * s[:k] * s.sum() / s[:k].sum()) @ v[:k]
    np.testing.assert_allclose(found, base.double().numpy() + 1.5 * total / 3, atol=1e-4)


def test_cart_equals_float64(merged: Any, gaussian: Any) -> None:
    experts = [gaussian(30, 40, seed=seed) for seed in range(3)]

    found = merged("cart", None, _pairs(experts), rank=0.2, scale=0.8)

    mean = sum(expert.double().numpy() for expert in experts) / 3
    expected = mean.copy()
    for expert in experts:
        u, s, v = _svd(expert.double().numpy() - mean)
        expected += 0.8 * (u[:, :6] * s[:6]) @ v[:6]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_cart_of_full_rank_sums_to_the_mean(merged: Any, gaussian: Any) -> None:
    experts = [gaussian(12, 20, seed=seed) for seed in range(3)]

    found = merged("cart", None, _pairs(experts), rank=1.0)

    torch.testing.assert_close(found, sum(experts) / 3, atol=1e-5, rtol=0)


# --- WUDI ---------------------------------------------------------------------------------------


def _loss(merged: Tensor, deltas: list[Tensor]) -> float:
    return sum(
        float(((merged - d) @ d.T).double().square().sum() / d.double().square().sum())
        for d in deltas
    )


def test_wudi_starts_at_the_known_loss(merged: Any) -> None:
    found = merged("wudi", torch.zeros(2, 2), _pairs([W1, W3]), steps=0)

    assert torch.equal(found, W1 + W3)
    assert _loss(found, [W1, W3]) == pytest.approx(8.5)


@pytest.mark.parametrize("solver", ["adam", "exact"])
def test_wudi_leaves_experts_that_do_not_meet_alone(merged: Any, solver: str) -> None:
    one, two = torch.zeros(4, 6), torch.zeros(4, 6)
    one[:, :3], two[:, 3:] = 1.5, -0.5

    found = merged("wudi", torch.zeros(4, 6), _pairs([one, two]), solver=solver)

    torch.testing.assert_close(found, one + two, atol=1e-5, rtol=0)


@pytest.mark.parametrize("solver", ["adam", "exact"])
def test_wudi_of_one_expert_is_the_expert(merged: Any, gaussian: Any, solver: str) -> None:
    found = merged("wudi", torch.zeros(5, 7), [(gaussian(5, 7), {})], solver=solver)

    assert torch.equal(found, gaussian(5, 7))


def test_wudi_takes_the_steps_of_adam(merged: Any, gaussian: Any) -> None:
    experts = [gaussian(10, 12, seed=seed) for seed in range(3)]

    found = merged("wudi", torch.zeros(10, 12), _pairs(experts), steps=30, rate=1e-2)

    weight = torch.nn.Parameter(sum(experts).double())
    adam = torch.optim.Adam([weight], lr=1e-2)
    for _ in range(30):
        adam.zero_grad()
        loss = sum(
            ((weight - d.double()) @ d.double().T).square().sum() / d.double().square().sum()
            for d in experts
        )
        loss.backward()
        adam.step()
    torch.testing.assert_close(found.double(), weight.detach(), atol=1e-4, rtol=0)


def test_wudis_exact_minimum_is_below_all_of_adams(merged: Any, gaussian: Any) -> None:
    experts = [gaussian(10, 12, seed=seed) for seed in range(3)]

    exact = merged("wudi", torch.zeros(10, 12), _pairs(experts), solver="exact")
    steps = merged("wudi", torch.zeros(10, 12), _pairs(experts), steps=2000, rate=1e-2)

    assert (
        _loss(exact, experts)
        < _loss(steps, experts) * 1.0001
        < 0.9 * _loss(sum(experts, torch.zeros(10, 12)), experts)
    )


# --- DOGE-TA ------------------------------------------------------------------------------------


def test_doge_learns_by_the_gradient_of_its_loss(gaussian: Any) -> None:
    deltas = [gaussian(12, 14, seed=seed) for seed in range(3)]
    factors = [0.3, 0.2, 0.25]

    found = learn_shared(deltas, factors, DogeOptions(steps=25, rate=1e-2))

    expected = _shared([d.double() for d in deltas], factors, 25, 1e-2)
    torch.testing.assert_close(found.double(), expected, atol=2e-3, rtol=0)
    assert float(found.abs().max()) > 0.05


def _shared(deltas: list[Tensor], factors: list[float], steps: int, rate: float) -> Tensor:
    """The same by autograd in float64."""
    each = 12 // 3
    stacked = np.concatenate([_svd(d.numpy())[0][:, :each] for d in deltas], 1)
    basis = torch.from_numpy(_svd(stacked)[0][:, :2].copy())
    shared = torch.nn.Parameter(torch.zeros_like(deltas[0]))
    adam = torch.optim.Adam([shared], lr=rate)
    for _ in range(steps):
        adam.zero_grad()
        merged = sum(f * (d + shared) for f, d in zip(factors, deltas, strict=True))
        loss = torch.stack([(d * (d - merged)).sum(1).square().sum() for d in deltas]).sum()
        loss.backward()
        assert shared.grad is not None
        shared.grad -= basis @ (basis.T @ shared.grad)
        adam.step()
    return shared.detach()


def test_doge_without_steps_adds_what_is_largest(merged: Any, gaussian: Any) -> None:
    experts = [gaussian(20, 24, seed=seed) for seed in range(2)]

    found = merged("doge-ta", torch.zeros(20, 24), _pairs(experts), steps=0, strength=1.0)

    expected = torch.zeros(20, 24)
    for expert in experts:
        cut = expert.abs().flatten().sort(descending=True).values[int(0.3 * 480) - 1]
        expected += expert * (expert.abs() >= cut) / expert.norm()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


# --- adapters -----------------------------------------------------------------------------------


def _adapters(shape: tuple[int, int], rank: int, count: int) -> list[Tensor]:
    rng = torch.Generator().manual_seed(1)
    return [
        torch.randn(shape[0], rank, generator=rng) @ torch.randn(rank, shape[1], generator=rng)
        for _ in range(count)
    ]


def test_the_common_space_gives_every_change_back(gaussian: Any) -> None:
    base, *experts = (gaussian(20, 30, seed=seed) for seed in range(4))

    left, parts = tie(Deltas(base, experts))

    for part, expert in zip(parts, experts, strict=True):
        torch.testing.assert_close(left @ part, expert - base, atol=1e-5, rtol=0)


def test_knots_equals_float64(merged: Any) -> None:
    experts = _adapters((20, 30), 3, 3)

    found = merged("knots", torch.zeros(20, 30), _pairs(experts), density=0.4, scale=0.7)

    u, s, v = _svd(np.concatenate([expert.double().numpy() for expert in experts], 1))
    u, s, v = u[:, s > 1e-5], s[s > 1e-5], v[s > 1e-5]
    parts = np.stack([(s[:, None] * v)[:, i * 30 : (i + 1) * 30] for i in range(3)])
    cuts = [np.sort(np.abs(p).ravel())[p.size - int(p.size * 0.4)] for p in parts]
    kept = np.stack([np.where(np.abs(p) >= c, p, 0) for p, c in zip(parts, cuts, strict=True)])
    sign = np.sign(kept.sum(0))
    agree = (np.sign(kept) == sign) & (kept != 0)
    merged_parts = (kept * agree).sum(0) / np.maximum(agree.sum(0), 1)
    np.testing.assert_allclose(found, 0.7 * u @ merged_parts, atol=2e-4)


def test_a_sum_in_the_core_is_task_arithmetic(merged: Any) -> None:
    experts = _adapters((20, 30), 3, 3)
    weighted = [
        (expert, {"weight": w}) for expert, w in zip(experts, (0.5, -1.0, 2.0), strict=True)
    ]

    found = merged("core-space", torch.zeros(20, 30), weighted, rule="sum", scale=0.3)

    expected = merged("task-arithmetic", torch.zeros(20, 30), weighted, scale=0.3)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("rule", ["tsv", "iso-c", "ties"])
def test_rules_in_the_core_stay_in_the_span(merged: Any, rule: str) -> None:
    experts = _adapters((20, 30), 3, 3)

    found = merged("core-space", torch.zeros(20, 30), _pairs(experts), rule=rule).double()

    columns = torch.linalg.svd(torch.cat(experts, 1).double()).U[:, :9]
    assert float((found - columns @ (columns.T @ found)).abs().max()) < 1e-4
    assert int(torch.linalg.matrix_rank(found, rtol=1e-5)) <= 9
    assert float(found.abs().max()) > 0.1


def test_tsv_in_the_core_is_tsv_of_full_matrices(merged: Any, gaussian: Any) -> None:
    experts = [gaussian(12, 12, seed=seed) for seed in range(3)]

    found = merged("core-space", torch.zeros(12, 12), _pairs(experts), rule="tsv")

    expected = merged("tsv-merge", torch.zeros(12, 12), _pairs(experts))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


# --- with data ----------------------------------------------------------------------------------


def _with_data(
    method_id: str,
    experts: list[Tensor],
    grams: list[Tensor] | None = None,
    fishers: list[Tensor] | None = None,
    **options: Any,
) -> Tensor:
    method = MERGING[method_id]

    def given(found: list[Tensor] | None, place: int) -> Any:
        return None if found is None else (lambda: found[place])

    inputs = MergeInputs(
        TensorSpec("w", tuple(experts[0].shape)),
        None,
        tuple(
            MergeExpert(expert, method.expert_options(), given(grams, i), given(fishers, i))
            for i, expert in enumerate(experts)
        ),
    )
    return method.merge(inputs, method.options(**options))


def _moments(count: int, width: int) -> list[Tensor]:
    inputs = [
        torch.randn(40, width, generator=torch.Generator().manual_seed(seed))
        for seed in range(count)
    ]
    return [x.T @ x / len(x) for x in inputs]


def test_regmean_equals_float64(gaussian: Any) -> None:
    experts, grams = [gaussian(6, 9, seed=s) for s in range(3)], _moments(3, 9)

    found = _with_data("regmean", experts, grams, off_diagonal=0.6)

    scaled = []
    for gram in grams:
        g = gram.double().numpy() * 0.6
        np.fill_diagonal(g, gram.double().numpy().diagonal())
        scaled.append(g)
    right = sum(e.double().numpy() @ g for e, g in zip(experts, scaled, strict=True))
    np.testing.assert_allclose(found, right @ np.linalg.inv(sum(scaled)), atol=1e-4)


def test_regmean_of_equal_experts_is_the_expert(gaussian: Any) -> None:
    found = _with_data("regmean", [gaussian(6, 9)] * 3, _moments(3, 9))

    torch.testing.assert_close(found, gaussian(6, 9), atol=1e-6, rtol=0)


@pytest.mark.parametrize("unit", [1.0, 0.0])
def test_regmean_of_like_or_dead_inputs_is_the_mean(gaussian: Any, unit: float) -> None:
    experts = [gaussian(6, 9, seed=s) for s in range(3)]

    found = _with_data("regmean", experts, [unit * torch.eye(9)] * 3)

    torch.testing.assert_close(found, sum(experts) / 3, atol=1e-6, rtol=0)


def test_fisher_equals_float64(gaussian: Any) -> None:
    experts = [gaussian(6, 9, seed=s) for s in range(3)]
    fishers = [gaussian(6, 9, seed=10 + s).square() * 3.0**s for s in range(3)]

    found = _with_data("fisher", experts, fishers=fishers)

    parts = [f.double().numpy() for f in fishers]
    weights = [(f + 1e-6) / (np.linalg.norm(f) + 1e-6) for f in parts]
    top = sum(w * e.double().numpy() for w, e in zip(weights, experts, strict=True))
    np.testing.assert_allclose(found, top / sum(weights), atol=1e-5)


def test_fisher_follows_the_only_one_who_needs_a_weight(gaussian: Any) -> None:
    experts = [gaussian(4, 4, seed=s) for s in range(2)]

    found = _with_data(
        "fisher", experts, fishers=[torch.full((4, 4), 1e4), torch.zeros(4, 4)], normalize=False
    )

    torch.testing.assert_close(found, experts[0], atol=1e-6, rtol=1e-6)


def test_equal_importances_give_the_mean(gaussian: Any) -> None:
    experts = [gaussian(4, 4, seed=s) for s in range(2)]

    found = _with_data("fisher", experts, fishers=[torch.ones(4, 4)] * 2)

    torch.testing.assert_close(found, sum(experts) / 2, atol=1e-6, rtol=0)
