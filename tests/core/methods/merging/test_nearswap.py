from __future__ import annotations

from typing import Any

import pytest
import torch

from deltaworks.errors import OptionError


def test_hand_computed_case(merged: Any) -> None:
    found = merged("nearswap", [1.0] * 4, [([1.0001, 1.01, 2.0, 1.0], {})], t=0.001)

    torch.testing.assert_close(found, torch.tensor([1.0001, 1.001, 1.001, 1.0]))


def test_a_wide_reach_takes_the_other_model(merged: Any, gaussian: Any) -> None:
    base, other = gaussian(30, 40), gaussian(30, 40, seed=1)

    assert torch.equal(merged("nearswap", base, [(other, {})], t=10.0), other)


def test_no_weight_moves_further_than_the_reach(merged: Any, gaussian: Any) -> None:
    base, other = gaussian(300, 500), gaussian(300, 500, seed=1)

    found = merged("nearswap", base, [(other, {})], t=0.01)

    torch.testing.assert_close(
        (found - base).abs(), (other - base).abs().clamp_max(0.01), rtol=0, atol=1e-6
    )


def test_merge_equals_float64(merged: Any, gaussian: Any) -> None:
    base, other = (gaussian(300, 500, seed=seed).bfloat16() for seed in (0, 1))

    found = merged("nearswap", base, [(other, {})], t=0.3)

    one, two = base.double(), other.double()
    share = (0.3 / (one - two).abs().clamp_min(1e-6)).clamp(0, 1)
    torch.testing.assert_close(
        found.double(), share * two + (1 - share) * one, rtol=1e-5, atol=1e-6
    )


def test_more_than_one_other_model_is_refused(merged: Any) -> None:
    with pytest.raises(OptionError, match=r"nearswap goes .* not to 2"):
        merged("nearswap", [1.0], [([1.0], {}), ([2.0], {})])
