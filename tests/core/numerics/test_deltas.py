from __future__ import annotations

import pytest
import torch

from deltaworks.numerics.deltas import delta_of


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (300, 500), (2, 3, 4)])
def test_both_are_widened_before_they_are_subtracted(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    rng = torch.Generator().manual_seed(0)
    tuned, base = (torch.randn(shape, generator=rng).to(dtype) for _ in range(2))

    delta = delta_of(tuned, base)

    assert torch.equal(delta, tuned.float() - base.float())


def test_views_are_read_in_their_order() -> None:
    tuned, base = torch.randn(20, 30).T, torch.randn(30, 20)

    assert torch.equal(delta_of(tuned, base), tuned - base)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[2, 3\] and \[3\] differ"):
        delta_of(torch.zeros(2, 3), torch.zeros(3))
