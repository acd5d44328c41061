from __future__ import annotations

import torch

from deltaworks.numerics.gram import gram


def test_dot_products_are_those_of_float64() -> None:
    rng = torch.Generator().manual_seed(0)
    vectors = [torch.randn(200_001, generator=rng).bfloat16() for _ in range(3)]
    origin = torch.randn(200_001, generator=rng)

    plain, moved = gram(vectors), gram(vectors, origin)

    stacked = torch.stack(vectors).double()
    torch.testing.assert_close(plain, stacked @ stacked.T, rtol=1e-12, atol=1e-9)
    stacked = (torch.stack(vectors).float() - origin).double()
    torch.testing.assert_close(moved, stacked @ stacked.T, rtol=1e-12, atol=1e-9)


def test_nearly_parallel_vectors_keep_their_angle() -> None:
    one = torch.ones(10_000)
    two = one.clone()
    two[0] += 1e-3

    dots = gram([one, two])

    # |one x two|^2 = |one|^2 |two|^2 - (one . two)^2 = 9999 * 1e-6
    assert abs(float(dots[0, 0] * dots[1, 1] - dots[0, 1] ** 2) / 9.999e-3 - 1) < 1e-3


def test_empty_vectors_have_dot_products_of_zero() -> None:
    assert gram([torch.zeros(0), torch.zeros(0)]).tolist() == [[0, 0], [0, 0]]
