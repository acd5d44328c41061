"""What a decomposition gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

NEGLIGIBLE = 1e-6
"""Singular values below this share of the largest are rounding noise of float32 deltas."""


@dataclass(frozen=True, slots=True)
class Svd:
    """``U diag(sigma) V'``, the largest first.

    Args:
        left: U, ``(rows, rank)`` float32, orthonormal columns.
        sigma: ``(rank,)`` float32.
        right: V, ``(cols, rank)`` float32, orthonormal columns.
        is_whole: whether all triples are there but those that are rounding noise.
    """

    left: Tensor
    sigma: Tensor
    right: Tensor
    is_whole: bool = True

    @property
    def n_triples(self) -> int:
        """Triples of the matrix, as far as is known: at most its smaller side."""
        if self.is_whole:
            return len(self.sigma)
        return min(len(self.left), len(self.right))

    def first(self, rank: int) -> Svd:
        """Give the largest triples alone, without keeping the others in memory."""
        if rank >= len(self.sigma):
            return self
        left, right = self.left[:, :rank].clone(), self.right[:, :rank].clone()
        return Svd(left, self.sigma[:rank].clone(), right, is_whole=False)


def nothing(matrix: Tensor) -> Svd:
    """Give no triples, of a matrix without length."""
    rows, cols = matrix.shape
    empty = matrix.new_zeros(0).float()
    return Svd(empty.new_zeros(rows, 0), empty, empty.new_zeros(cols, 0))
