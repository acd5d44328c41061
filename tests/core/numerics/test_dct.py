from __future__ import annotations

import pytest
import torch
from scipy.fft import dctn

from deltaworks.numerics.dct import (
    dct_matrix,
    join_patches,
    split_patches,
    transform,
    transform_back,
)


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_matrix_is_orthonormal(size: int) -> None:
    matrix = dct_matrix(size)

    torch.testing.assert_close(matrix @ matrix.T, torch.eye(size), rtol=0, atol=1e-6)


def test_transform_is_the_textbook_one() -> None:
    patches = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0))

    expected = dctn(patches.double().numpy(), axes=(1, 2), norm="ortho")

    torch.testing.assert_close(
        transform(patches), torch.from_numpy(expected).float(), rtol=1e-4, atol=1e-5
    )


def test_energy_is_kept_and_the_way_back_found() -> None:
    patches = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(0))

    coefficients = transform(patches)

    torch.testing.assert_close(
        coefficients.flatten(1).norm(dim=1), patches.flatten(1).norm(dim=1), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(transform_back(coefficients), patches, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(16, 16), (37, 53), (1, 9), (9, 1), (8, 0)])
def test_patches_come_back_together(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape)

    patches = split_patches(matrix, 8)

    assert torch.equal(join_patches(patches, *shape), matrix)


def test_patches_are_in_row_major_order_and_padded_with_zeros() -> None:
    matrix = torch.zeros(9, 17)
    matrix[0, 16], matrix[8, 0] = 5.0, 7.0

    patches = split_patches(matrix, 8)

    assert patches.shape == (6, 8, 8)
    assert patches[2:4, 0, 0].tolist() == [5.0, 7.0]
    assert float(patches.abs().sum()) == 12.0
