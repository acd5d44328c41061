"""Singular value decompositions of tall and wide matrices, exact or by a sketch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deltaworks.numerics.seeds import rng_for

if TYPE_CHECKING:
    from torch import Tensor

_LEAST_OVERSAMPLE = 16
_POWER_ITERATIONS = 8
_NEGLIGIBLE = 1e-6
_ORTHOGONAL = 1e-4


@dataclass(frozen=True, slots=True)
class Svd:
    """``U diag(sigma) V'``, the largest first.

    Args:
        left: U, ``(rows, rank)`` float32, orthonormal columns.
        sigma: ``(rank,)`` float32.
        right: V, ``(cols, rank)`` float32, orthonormal columns.
    """

    left: Tensor
    sigma: Tensor
    right: Tensor


def thin_svd(matrix: Tensor) -> Svd:
    """Decompose a matrix, without the triples that are rounding noise.

    The Gram matrix of the smaller side in float64 and its eigenvectors cost a fraction
    of a direct decomposition. Squaring loses singular values below 1e-8 of the largest;
    those below 1e-6 are dropped here (float32 deltas hold no information there). Where
    the vectors come out less than orthonormal all the same, the direct way is taken.

    Args:
        matrix: ``(rows, cols)``, finite.
    """
    import torch

    if min(matrix.shape) == 0:
        return _nothing(matrix)
    rows, cols = matrix.shape
    wide = matrix.double() if rows <= cols else matrix.double().T
    values, vectors = torch.linalg.eigh(wide @ wide.T)
    sigma = values.flip(0).clamp_min(0).sqrt()
    rank = int((sigma > _NEGLIGIBLE * sigma[0]).sum()) if sigma[0] > 0 else 0
    near = vectors.flip(1)[:, :rank]
    far = (wide.T @ near) / sigma[:rank]
    if not _is_orthonormal(far):
        return _direct(matrix)
    left, right = (near, far) if rows <= cols else (far, near)
    return Svd(left.float(), sigma[:rank].float(), right.float())


def sketched_svd(matrix: Tensor, rank: int) -> Svd:
    """Find the largest triples by a random sketch with power iterations.

    Much faster than ``thin_svd`` when ``rank`` is small beside the matrix. Of what the
    best triples hold it captures all but about 0.1 % where the spectrum has a head, and
    all but about 1 % on pure noise. The sketch is always the same, so the result does
    not depend on a seed.

    Args:
        matrix: ``(rows, cols)`` float32, finite.
        rank: triples wanted.
    """
    import torch

    if min(matrix.shape) == 0:
        return _nothing(matrix)
    rows, cols = matrix.shape
    size = min(rank + max(rank, _LEAST_OVERSAMPLE), rows, cols)
    normal = rng_for(0, "sketch").standard_normal((cols, size), dtype=np.float32)
    basis = torch.linalg.qr(matrix @ torch.from_numpy(normal)).Q
    for _ in range(_POWER_ITERATIONS):
        basis = torch.linalg.qr(matrix.T @ basis).Q
        basis = torch.linalg.qr(matrix @ basis).Q
    small = thin_svd(basis.T @ matrix)
    kept = min(rank, len(small.sigma))
    return Svd((basis @ small.left)[:, :kept], small.sigma[:kept], small.right[:, :kept])


def _nothing(matrix: Tensor) -> Svd:
    rows, cols = matrix.shape
    none = matrix.new_zeros(0)
    return Svd(matrix.new_zeros(rows, 0), none, matrix.new_zeros(cols, 0))


def _is_orthonormal(vectors: Tensor) -> bool:
    """Check the columns of the smallest singular values, which are the first to suffer."""
    import torch

    rank = vectors.shape[1]
    if rank == 0:
        return True
    last = vectors[:, -32:]
    wanted = torch.eye(rank, dtype=vectors.dtype)[:, -32:]
    return bool(((vectors.T @ last) - wanted).abs().max() < _ORTHOGONAL)


def _direct(matrix: Tensor) -> Svd:
    import torch

    left, sigma, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    rank = int((sigma > _NEGLIGIBLE * sigma[0]).sum())
    return Svd(left[:, :rank].float(), sigma[:rank].float(), right[:rank].T.float())
