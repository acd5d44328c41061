from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

BASE = [1.0, 1.0, 1.0, 1.0]
A = [1.4, 0.9, 1.3, 1.0]
B = [1.2, 1.3, 0.5, 1.1]


@pytest.mark.parametrize(
    ("threshold", "agreeing", "expected"),
    [
        (0.4, 2, [1.6, 1.0, 0.8, 1.0]),
        (1.0, 2, BASE),
        (0.4, 1, [1.6, 1.2, 0.8, 1.1]),
    ],
)
def test_hand_computed_cases(
    merged: Any, threshold: float, agreeing: int, expected: list[float]
) -> None:
    options = {"threshold": threshold, "agreeing": agreeing, "scale": 1.0}

    found = merged("consensus-ta", BASE, [(A, {}), (B, {})], **options)

    torch.testing.assert_close(found, torch.tensor(expected))


def test_one_expert_alone_comes_back(merged: Any, gaussian: Any) -> None:
    base, expert = gaussian(30, 40), gaussian(30, 40, seed=1)

    found = merged("consensus-ta", base, [(expert, {})], scale=1.0)

    torch.testing.assert_close(found, expert, rtol=1e-6, atol=1e-6)


def test_a_higher_threshold_keeps_fewer_weights(merged: Any, gaussian: Any) -> None:
    base, *experts = (gaussian(100, 100, seed=seed) for seed in range(4))

    changed = [
        int((merged("consensus-ta", base, [(e, {}) for e in experts], threshold=t) != base).sum())
        for t in (0.0, 0.2, 0.6, 2.0)
    ]

    assert changed == sorted(changed, reverse=True)
    assert len(set(changed)) == 4


def test_merge_equals_float64(merged: Any, gaussian: Any) -> None:
    base, *experts = (gaussian(300, 500, seed=seed).bfloat16() for seed in range(4))

    found = merged("consensus-ta", base, [(e, {}) for e in experts], agreeing=2, scale=0.7)

    deltas = np.stack([(e.float() - base.float()).double().numpy() for e in experts])
    total = deltas.sum(axis=0)
    votes = (np.abs(deltas) > 0.4 * np.abs(total - deltas)).sum(axis=0)
    expected = base.double().numpy() + 0.7 * np.where(votes >= 2, total, 0.0)
    is_near = np.isclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
    # bfloat16 deltas are coarse: some lie exactly on a threshold and round either way.
    assert (~is_near).mean() < 1e-4
