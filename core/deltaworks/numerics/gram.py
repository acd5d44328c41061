"""Dot products of every pair of large vectors, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deltaworks.numerics.chunks import CHUNK, spans

if TYPE_CHECKING:
    from torch import Tensor


def gram(vectors: Sequence[Tensor], origin: Tensor | None = None) -> Tensor:
    """Give ``G[i, j] = (x_i - o) . (x_j - o)``.

    Products of float32 numbers are exact in float64, so nearly parallel vectors keep
    their angle. Differences to the origin are rounded to float32, as everywhere.

    Args:
        vectors: n flat tensors of one length, as stored.
        origin: o, likewise; None for zero.

    Returns:
        ``(n, n)`` float64.
    """
    import torch

    n_vectors, count = len(vectors), vectors[0].numel()
    total = torch.zeros(n_vectors, n_vectors, dtype=torch.float64)
    for span in spans(count, CHUNK // 2):
        piece = torch.empty(n_vectors, span.stop - span.start, dtype=torch.float64)
        for row, vector in zip(piece, vectors, strict=True):
            row.copy_(difference(vector[span], None if origin is None else origin[span]))
        total += piece @ piece.T
    return total


def difference(vector: Tensor, origin: Tensor | None) -> Tensor:
    """Give a vector from an origin, in float32."""
    return vector.float() if origin is None else vector.float() - origin.float()
