from __future__ import annotations

from typing import Any

import pytest
import torch

from deltaworks.errors import OptionError

BASE = [1.0, 1.0, 1.0, 1.0]
A = [1.4, 0.9, 1.3, 1.0]
B = [1.2, 1.3, 0.5, 1.1]


def test_hand_computed_cases(merged: Any) -> None:
    alone = merged("task-arithmetic", BASE, [(A, {})])
    both = merged("task-arithmetic", BASE, [(A, {"weight": 0.3}), (B, {"weight": 0.7})])

    torch.testing.assert_close(alone, torch.tensor(A))
    torch.testing.assert_close(both, torch.tensor([1.26, 1.18, 0.74, 1.07]))


def test_no_weight_gives_the_base_exactly(merged: Any, gaussian: Any) -> None:
    base = gaussian(40, 50)

    found = merged("task-arithmetic", base, [(gaussian(40, 50, seed=1), {"weight": 0.0})])

    assert torch.equal(found, base)


def test_result_is_linear_in_the_scale(merged: Any, gaussian: Any) -> None:
    base, expert = gaussian(40, 50), gaussian(40, 50, seed=1)

    half, whole = (
        merged("task-arithmetic", base, [(expert, {})], scale=scale) for scale in (0.5, 1.0)
    )

    torch.testing.assert_close(2 * (half - base), whole - base, rtol=1e-5, atol=1e-6)


def test_merge_equals_float64(merged: Any, gaussian: Any) -> None:
    base, one, two = (gaussian(300, 500, seed=seed).bfloat16() for seed in range(3))

    found = merged(
        "task-arithmetic",
        base,
        [(one, {"weight": 0.3}), (two, {"weight": -1.1})],
        scale=0.7,
        normalize=True,
    )

    start = base.double()
    summed = 0.3 * (one.double() - start) - 1.1 * (two.double() - start)
    torch.testing.assert_close(
        found.double(), start + 0.7 * summed / (0.3 - 1.1), rtol=1e-5, atol=1e-6
    )


def test_weights_that_sum_to_zero_are_refused(merged: Any) -> None:
    with pytest.raises(OptionError, match="cannot be normalized"):
        merged("task-arithmetic", BASE, [(A, {"weight": 0.0})], normalize=True)
