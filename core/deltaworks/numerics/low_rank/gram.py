"""Decomposition by the Gram matrix of the smaller side and its eigenvectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.numerics.chunks import spans
from deltaworks.numerics.low_rank.record import NEGLIGIBLE, Svd, nothing

if TYPE_CHECKING:
    from torch import Tensor, dtype

ORTHOGONAL = 1e-4
"""How far products of vectors may be from those of orthonormal ones."""
_CHECKED = 32
_ROWS, _COLS = 512, 2048


def gram_svd(matrix: Tensor, rank: int | None = None) -> Svd | None:
    """Find triples as eigenvectors of ``A A'`` in float64, of the smaller side.

    This costs a fraction of a direct decomposition. Squaring loses singular values below
    1e-8 of the largest; those below 1e-6 are left out (float32 deltas hold no information
    there).

    Args:
        matrix: ``(rows, cols)``, finite.
        rank: triples wanted; None for all.

    Returns:
        None when the vectors of the smallest singular values came out less than
        orthonormal, which are the first to suffer.
    """
    import torch

    rows, cols = matrix.shape
    wide = matrix if rows <= cols else matrix.T
    values, vectors = torch.linalg.eigh(lower_gram(wide, torch.float64))
    sigma = values.flip(0).clamp_min(0).sqrt()
    there = int((sigma > NEGLIGIBLE * sigma[0]).sum())
    if there == 0:
        return nothing(matrix)
    count = there if rank is None else min(rank, there)
    near = vectors.flip(1)[:, :count].contiguous()
    far = _across(wide, near).div_(sigma[:count])
    if not is_orthonormal(far):
        return None
    left, right = (near, far) if rows <= cols else (far, near)
    return Svd(left.float(), sigma[:count].float(), right.float(), is_whole=count == there)


def lower_gram(wide: Tensor, kind: dtype) -> Tensor:
    """Give ``A A'`` with its lower triangle right; what is above it is partly left out.

    Half of the products are spared, and no copy of the whole matrix is made.
    """
    rows, cols = wide.shape
    out = wide.new_zeros(rows, rows, dtype=kind)
    for across in spans(cols, _COLS):
        piece = wide[:, across].to(kind)
        for down in spans(rows, _ROWS):
            out[down, : down.stop].addmm_(piece[down], piece[: down.stop].T)
    return out


def _across(wide: Tensor, near: Tensor) -> Tensor:
    """Give ``A' near`` in the precision of ``near``."""
    out = near.new_empty(wide.shape[1], near.shape[1])
    for across in spans(wide.shape[1], _COLS):
        out[across] = wide[:, across].to(near.dtype).T @ near
    return out


def is_orthonormal(vectors: Tensor) -> bool:
    """Check the columns of the smallest singular values against all."""
    rank = vectors.shape[1]
    if rank == 0:
        return True
    products = vectors.mT @ vectors[:, -_CHECKED:]
    products.diagonal(offset=min(0, _CHECKED - rank)).sub_(1.0)
    return bool(products.abs().max() < ORTHOGONAL)
