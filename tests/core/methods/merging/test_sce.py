from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

BASE = [1.0, 1.0, 1.0, 1.0]
A = [1.4, 0.9, 1.3, 1.0]
B = [1.2, 1.3, 0.5, 1.1]


@pytest.mark.parametrize(
    ("select_topk", "expected"), [(1.0, [1.28, 1.3, 0.5, 1.1]), (0.5, [1.0, 1.3, 0.5, 1.0])]
)
def test_hand_computed_cases(merged: Any, select_topk: float, expected: list[float]) -> None:
    found = merged("sce", BASE, [(A, {}), (B, {})], select_topk=select_topk)

    torch.testing.assert_close(found, torch.tensor(expected))


def test_tiny_changes_weigh_the_same(merged: Any) -> None:
    found = merged("sce", [0.0] * 4, [([4e-4, 0, 0, 0], {}), ([0, 2e-4, 0, 0], {})])

    torch.testing.assert_close(found, torch.tensor([4e-4, 2e-4, 0, 0]))


def test_experts_that_are_alike_leave_nothing_to_select(merged: Any, gaussian: Any) -> None:
    base, expert = gaussian(30, 40), gaussian(30, 40, seed=1)
    both: list[Any] = [(expert, {}), (expert, {})]

    assert torch.equal(merged("sce", base, both, select_topk=0.5), base)
    torch.testing.assert_close(merged("sce", base, both), expert, rtol=1e-5, atol=1e-6)


def test_one_weight_is_always_selected_where_experts_differ(merged: Any) -> None:
    found = merged("sce", [0.0, 0.0], [([1.0, 2.0], {}), ([0.5, 9.0], {})], select_topk=0.1)

    assert found[0] == 0
    assert found[1] > 2.0


def _obvious(base: Tensor, experts: list[Tensor], share: float) -> np.ndarray:
    """SCE in float64, one step after another."""
    start = base.double().numpy()
    deltas = np.stack([(e.float() - base.float()).double().numpy() for e in experts])
    if share < 1:
        variance = deltas.var(axis=0).ravel()
        keep = max(1, int(np.count_nonzero(variance) * share))
        selected = np.zeros(variance.size, dtype=bool)
        selected[np.argsort(-variance, kind="stable")[:keep]] = True
        deltas = deltas * selected.reshape(start.shape)
    weights = (deltas**2).mean(axis=(1, 2))
    weights = weights / weights.sum() if weights.sum() >= 1e-6 else np.full(len(deltas), 1 / 3)
    sign = np.where(deltas.sum(axis=0) >= 0, 1.0, -1.0)
    agrees = (np.sign(deltas) == sign) * weights[:, None, None]
    result: np.ndarray = start + (agrees * deltas).sum(0) / np.maximum(agrees.sum(0), 1e-6)
    return result


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("size", [0.3, 1e-4])
def test_merge_equals_float64(merged: Any, gaussian: Any, share: float, size: float) -> None:
    base = gaussian(90, 800)
    experts = [base + size * (1 + seed) * gaussian(90, 800, seed=seed) for seed in (1, 2, 3)]

    found = merged("sce", base, [(expert, {}) for expert in experts], select_topk=share)

    np.testing.assert_allclose(found.numpy(), _obvious(base, experts, share), rtol=1e-5, atol=1e-6)
