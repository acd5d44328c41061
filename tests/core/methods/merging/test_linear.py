from __future__ import annotations

from typing import Any

import pytest
import torch

from deltaworks.errors import OptionError

A = [1.4, 0.9, 1.3, 1.0]
B = [1.2, 1.3, 0.5, 1.1]


def test_hand_computed_cases(merged: Any) -> None:
    mean = merged("linear", None, [(A, {"weight": 0.3}), (B, {"weight": 0.7})])
    total = merged("linear", None, [(A, {"weight": 1}), (B, {"weight": 3})], normalize=False)

    torch.testing.assert_close(mean, torch.tensor([1.26, 1.18, 0.74, 1.07]))
    torch.testing.assert_close(total, torch.tensor([5.0, 4.8, 2.8, 4.3]))


def test_order_and_size_of_weights_do_not_matter(merged: Any, gaussian: Any) -> None:
    one, two = gaussian(400, 500), gaussian(400, 500, seed=1)

    known = merged("linear", None, [(one, {"weight": 1}), (two, {"weight": 3})])
    turned = merged("linear", None, [(two, {"weight": 3}), (one, {"weight": 1})])
    larger = merged("linear", None, [(one, {"weight": 2}), (two, {"weight": 6})])

    torch.testing.assert_close(turned, known, rtol=3e-7, atol=1e-7)
    assert torch.equal(larger, known)


def test_merge_equals_float64(merged: Any, gaussian: Any) -> None:
    tensors = [gaussian(300, 500, seed=seed).bfloat16() for seed in range(3)]
    weights = [0.2, -0.7, 1.9]

    found = merged(
        "linear", None, [(t, {"weight": w}) for t, w in zip(tensors, weights, strict=True)]
    )

    exact = sum(t.double() * w for t, w in zip(tensors, weights, strict=True)) / sum(weights)
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-6)


def test_weights_that_sum_to_zero_are_refused(merged: Any) -> None:
    experts = [(A, {"weight": 1}), (B, {"weight": -1})]

    with pytest.raises(OptionError, match="the weights 1, -1 sum to 0"):
        merged("linear", None, experts)
    torch.testing.assert_close(
        merged("linear", None, experts, normalize=False), torch.tensor(A) - torch.tensor(B)
    )
