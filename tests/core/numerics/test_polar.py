from __future__ import annotations

import torch

from deltaworks.numerics.polar import polar_factor


def test_columns_are_orthonormal_and_nearest() -> None:
    matrix = torch.randn(40, 12, generator=torch.Generator().manual_seed(0))

    found = polar_factor(matrix)

    torch.testing.assert_close(found.T @ found, torch.eye(12), rtol=0, atol=1e-5)
    left, _, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    torch.testing.assert_close(found.double(), left @ right, rtol=0, atol=1e-5)


def test_orthonormal_columns_stay() -> None:
    basis = torch.linalg.qr(torch.randn(30, 8, generator=torch.Generator().manual_seed(1))).Q

    torch.testing.assert_close(polar_factor(basis), basis, rtol=0, atol=1e-5)


def test_directions_without_length_are_left_out() -> None:
    matrix = torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, 0.0]])

    assert torch.allclose(polar_factor(matrix), matrix / 3.0)
    assert polar_factor(torch.zeros(3, 2)).tolist() == [[0, 0]] * 3
