"""Orthonormal cosine transform of square patches."""

from __future__ import annotations

from functools import cache
from math import cos, pi, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@cache
def dct_matrix(size: int) -> Tensor:
    """Give the orthonormal DCT-II matrix T, so that ``T P T'`` transforms a patch.

    ``T[i, j] = a_i cos(pi (2j + 1) i / 2p)`` with ``a_0 = sqrt(1/p)``, else ``sqrt(2/p)``.

    Returns:
        ``(size, size)`` float32; do not change it, it is shared.
    """
    import torch

    rows = [
        [
            sqrt((1 if i == 0 else 2) / size) * cos(pi * (2 * j + 1) * i / (2 * size))
            for j in range(size)
        ]
        for i in range(size)
    ]
    return torch.tensor(rows, dtype=torch.float64).float()


def transform(patches: Tensor) -> Tensor:
    """Transform patches ``(n, p, p)`` to coefficients."""
    matrix = dct_matrix(patches.shape[-1])
    return matrix @ patches @ matrix.T


def transform_back(coefficients: Tensor) -> Tensor:
    """Undo ``transform``."""
    matrix = dct_matrix(coefficients.shape[-1])
    return matrix.T @ coefficients @ matrix


def patch_counts(rows: int, cols: int, size: int) -> tuple[int, int]:
    """Count patches down and across, the last ones padded."""
    return -(-rows // size), -(-cols // size)


def split_patches(matrix: Tensor, size: int) -> Tensor:
    """Cut a matrix, padded with zeros to the right and below, into patches.

    Returns:
        ``(n, size, size)`` in row-major order of patches; always a copy.
    """
    import torch

    rows, cols = matrix.shape
    down, across = patch_counts(rows, cols, size)
    padded = torch.zeros(down * size, across * size)
    padded[:rows, :cols] = matrix
    tiles = padded.view(down, size, across, size).permute(0, 2, 1, 3)
    return tiles.reshape(down * across, size, size)


def join_patches(patches: Tensor, rows: int, cols: int) -> Tensor:
    """Undo ``split_patches``; the padding is cut off."""
    size = patches.shape[-1]
    down, across = patch_counts(rows, cols, size)
    tiles = patches.view(down, across, size, size).permute(0, 2, 1, 3)
    return tiles.reshape(down * size, across * size)[:rows, :cols]
