from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
import torch

ZERO = [0.0, 0.0]
X = [1.0, 0.0]
SLANT = [0.6, 0.8]
Y = [0.0, 1.0]


@pytest.mark.parametrize(
    ("experts", "expected"),
    [
        ([X, SLANT], [0.6, 0.3]),
        ([X, SLANT, Y], [0.386207, 0.434483]),
        ([X, Y], ZERO),
        ([X, X], X),
        ([X, [-1.0, 0.0]], ZERO),
        ([X], ZERO),
    ],
)
def test_hand_computed_cases(merged: Any, experts: Any, expected: list[float]) -> None:
    found = merged("model-stock", ZERO, [(expert, {}) for expert in experts])

    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=1e-6)


def test_rows_have_angles_of_their_own(merged: Any) -> None:
    experts: list[Any] = [([X, X], {}), ([SLANT, Y], {})]

    found = merged("model-stock", [ZERO, ZERO], experts, filter_wise=True)

    torch.testing.assert_close(found, torch.tensor([[0.6, 0.3], [0.0, 0.0]]))


@pytest.mark.parametrize("filter_wise", [False, True])
@pytest.mark.parametrize("n_experts", [2, 4])
def test_merge_equals_float64(
    merged: Any, gaussian: Any, filter_wise: bool, n_experts: int
) -> None:
    base, common = gaussian(300, 500), gaussian(300, 500, seed=9)
    experts = [base + common + gaussian(300, 500, seed=seed) for seed in range(1, n_experts + 1)]

    found = merged("model-stock", base, [(e, {}) for e in experts], filter_wise=filter_wise)

    rows = (300, 500) if filter_wise else (1, 150_000)
    start = base.double().view(rows)
    tuned = [expert.double().view(rows) for expert in experts]
    pairs = [
        torch.nn.functional.cosine_similarity(one - start, two - start, dim=1)
        for one, two in combinations(tuned, 2)
    ]
    cosine = torch.stack(pairs).mean(0)[:, None]
    share = n_experts * cosine / (1 + (n_experts - 1) * cosine)
    expected = share * torch.stack(tuned).mean(0) + (1 - share) * start
    torch.testing.assert_close(found.double().view(rows), expected, rtol=1e-5, atol=2e-6)


def test_a_stack_of_matrices_has_the_rows_of_each(merged: Any, gaussian: Any) -> None:
    base, *experts = (gaussian(3, 4, 50, seed=seed) for seed in range(3))

    found = merged("model-stock", base, [(e, {}) for e in experts], filter_wise=True)

    flat = merged(
        "model-stock",
        base.view(12, 50),
        [(e.view(12, 50), {}) for e in experts],
        filter_wise=True,
    )
    assert torch.equal(found.view(12, 50), flat)
