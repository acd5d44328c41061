from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

BASE = [1.0, 1.0, 1.0, 1.0]
A = [1.4, 0.9, 1.3, 1.0]
B = [1.2, 1.3, 0.5, 1.1]


@pytest.mark.parametrize(
    ("method_id", "base", "experts", "expected"),
    [
        ("ram", BASE, (A, B), [1.3, 1.1, 0.9, 1.1]),
        ("ramplus-tl", BASE, (A, B), [1.3, 1.1, 0.9, 1.102]),
        ("ram", [0.0] * 4, ([1, 0, 2, 0], [0, 3, 4, 0]), [1, 3, 3, 0]),
        ("ramplus-tl", [0.0] * 4, ([1, 0, 2, 0], [0, 3, 4, 0]), [1.02, 3.06, 3, 0]),
    ],
)
def test_hand_computed_cases(
    merged: Any, method_id: str, base: list[float], experts: Any, expected: list[float]
) -> None:
    found = merged(method_id, base, [(expert, {}) for expert in experts])

    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))


def test_changes_of_the_smallest_size_are_dropped(merged: Any) -> None:
    found = merged("ram", [0.0, 0.0], [([0.5, 0.25], {}), ([0.0, 1.0], {})], epsilon=0.25)

    assert found.tolist() == [0.5, 1.0]


def test_one_expert_comes_back_whole(merged: Any, gaussian: Any) -> None:
    base, expert = gaussian(30, 40), gaussian(30, 40, seed=1)

    for method_id in ("ram", "ramplus-tl"):
        found = merged(method_id, base, [(expert, {})], epsilon=0.0)

        torch.testing.assert_close(found, expert, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("is_plus", [False, True])
def test_merge_equals_float64(merged: Any, gaussian: Any, is_plus: bool) -> None:
    base = gaussian(400, 500)
    mine = [gaussian(400, 500, seed=seed) for seed in (1, 2, 3)]
    experts = [base + tensor * (tensor > 0.3) for tensor in mine]
    options = {"r": 0.5, "alpha": 2.0} if is_plus else {}

    found = merged("ramplus-tl" if is_plus else "ram", base, [(e, {}) for e in experts], **options)

    deltas = np.stack([(e - base).double().numpy() for e in experts])
    counts = np.abs(deltas) > 1e-5
    total = counts.sum(axis=0)
    unique = counts & (total == 1)
    overlap = (counts & (total > 1)).sum(axis=(1, 2)) / unique.sum(axis=(1, 2))
    boosts = 1 + 0.5 * np.minimum(overlap, 2.0) if is_plus else np.ones(3)
    summed = (deltas * np.where(unique, boosts[:, None, None], 1.0) * counts).sum(axis=0)
    expected = base.double().numpy() + summed / np.maximum(total, 1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6)
    if is_plus:
        assert overlap.min() > 0.5
        assert overlap.max() < 2.0
