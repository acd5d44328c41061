from __future__ import annotations

import pytest
import torch

from deltaworks.numerics.low_rank import sketched_svd, thin_svd


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(40, 40), (30, 70), (70, 30), (1, 9), (9, 1), (1, 1)])
def test_thin_svd_equals_a_direct_decomposition(shape: tuple[int, int]) -> None:
    matrix = _random(*shape)

    found = thin_svd(matrix)

    expected = torch.linalg.svdvals(matrix.double())
    torch.testing.assert_close(found.sigma.double(), expected, rtol=1e-5, atol=1e-6)
    again = (found.left * found.sigma) @ found.right.T
    torch.testing.assert_close(again, matrix, rtol=1e-4, atol=1e-5)
    eye = torch.eye(min(shape))
    torch.testing.assert_close(found.left.T @ found.left, eye, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.right.T @ found.right, eye, rtol=0, atol=1e-4)


def test_rank_of_a_product_is_found() -> None:
    matrix = _random(50, 3) @ _random(3, 20, seed=1)

    assert len(thin_svd(matrix).sigma) == 3


@pytest.mark.parametrize("shape", [(0, 4), (4, 0)])
def test_empty_and_zero_matrices_have_rank_zero(shape: tuple[int, int]) -> None:
    assert thin_svd(torch.zeros(shape)).left.shape == (shape[0], 0)
    assert thin_svd(torch.zeros(3, 5)).right.shape == (5, 0)
    assert sketched_svd(torch.zeros(shape), 2).sigma.shape == (0,)


def test_wide_spread_of_singular_values_stays_orthonormal() -> None:
    left = torch.linalg.qr(_random(40, 40)).Q
    right = torch.linalg.qr(_random(40, 40, seed=1)).Q
    sigma = torch.logspace(0, -5.5, 40)

    found = thin_svd((left * sigma) @ right.T)

    eye = torch.eye(len(found.sigma))
    assert float((found.left.T @ found.left - eye).abs().max()) < 1e-3
    torch.testing.assert_close(found.sigma[:20], sigma[:20], rtol=1e-3, atol=0)


def test_sketch_finds_a_head() -> None:
    matrix = _random(120, 5) @ _random(5, 90, seed=1) + 0.01 * _random(120, 90, seed=2)

    found = sketched_svd(matrix, 5)

    best = thin_svd(matrix)
    torch.testing.assert_close(found.sigma, best.sigma[:5], rtol=1e-4, atol=0)
    assert torch.equal(found.sigma, sketched_svd(matrix, 5).sigma)


def test_sketch_of_noise_captures_nearly_the_best() -> None:
    matrix = _random(256, 256)

    captured = float((sketched_svd(matrix, 16).sigma ** 2).sum())

    assert captured >= 0.97 * float((thin_svd(matrix).sigma[:16] ** 2).sum())
