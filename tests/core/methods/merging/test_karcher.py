from __future__ import annotations

from typing import Any

import pytest
import torch


@pytest.mark.parametrize(
    ("experts", "expected"),
    [
        ([[1, 0, 0], [0, 2, 0], [0, 0, 3]], [1.154701] * 3),
        ([[2, 0], [0, 1]], [1.06066, 1.06066]),
        ([[0, 0], [0, 1]], [0, 0.5]),
        ([[0, 0], [0, 0]], [0, 0]),
        ([[1, 0], [-1, 0]], [1, 0]),
    ],
)
def test_hand_computed_cases(merged: Any, experts: Any, expected: list[float]) -> None:
    found = merged("karcher", None, [(expert, {}) for expert in experts])

    torch.testing.assert_close(found, torch.tensor(expected).float(), rtol=0, atol=2e-6)


def test_pulls_of_all_models_cancel_at_the_mean(merged: Any, gaussian: Any) -> None:
    tensors = [gaussian(20, 30, seed=seed) for seed in range(4)]
    tensors[0] = tensors[0] * 5

    found = merged("karcher", None, [(t, {}) for t in tensors], max_iter=100, tol=1e-8).double()

    mean = found / found.norm()
    units = [t.double() / t.double().norm() for t in tensors]
    pull = torch.zeros_like(mean)
    for unit in units:
        cosine = (unit * mean).sum()
        theta = torch.acos(cosine)
        pull += theta / torch.sin(theta) * (unit - cosine * mean)
    assert float(pull.norm()) < 1e-5
    torch.testing.assert_close(found.norm(), sum(t.double().norm() for t in tensors) / 4)


@pytest.mark.parametrize("distance", [1.0, 1e-3])
def test_merge_equals_float64(merged: Any, gaussian: Any, distance: float) -> None:
    start = gaussian(300, 500)
    tensors = [start + distance * gaussian(300, 500, seed=seed) for seed in (1, 2, 3)]

    found = merged("karcher", None, [(t, {}) for t in tensors], max_iter=2, tol=1e-7)

    units = [t.double() / t.double().norm() for t in tensors]
    mean = sum(units) / 3
    mean = mean / mean.norm()
    for _ in range(2):
        step = torch.zeros_like(mean)
        for unit in units:
            cosine = (unit * mean).sum()
            theta = torch.acos(cosine)
            step += theta / torch.sin(theta) * (unit - cosine * mean) / 3
        turn = step.norm()
        if turn < 1e-7:
            break
        mean = torch.cos(turn) * mean + torch.sin(turn) * step / turn
        mean = mean / mean.norm()
    expected = mean * sum(t.double().norm() for t in tensors) / 3
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


def test_larger_models_give_a_larger_result(merged: Any, gaussian: Any) -> None:
    tensors = [gaussian(30, 40, seed=seed) for seed in range(3)]

    once = merged("karcher", None, [(t, {}) for t in tensors])
    twice = merged("karcher", None, [(2 * t, {}) for t in tensors])

    torch.testing.assert_close(twice, 2 * once, rtol=1e-5, atol=1e-6)
