"""The largest triples by subspace iteration, until more iterations do not help.

Source: Halko, Martinsson and Tropp, arXiv:0909.4061, with power iterations on the Gram
matrix of the smaller side. A step there is one product with a square matrix, so that the
longer side counts only at the beginning and at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deltaworks.numerics.low_rank.gram import gram_svd, lower_gram
from deltaworks.numerics.low_rank.record import Svd, nothing
from deltaworks.numerics.seeds import rng_for

if TYPE_CHECKING:
    from torch import Tensor

_LEAST_MORE = 16
_MORE = 4
_ROUNDS = 16
_STEPS = 2
"""Products between two orthonormalisations."""
_ENOUGH = 0.003
"""Share of the energy left over that further rounds may be expected to win."""
_NOTHING_LEFT = 1e-5
_SPREAD = 1e3
"""How far apart the lengths of columns may grow in one product, for another to follow."""
_FAINT = 3e-3
"""Triples below this share of the largest are lost in a Gram matrix of float32."""


def sketch_size(rank: int, side: int) -> int:
    """Columns iterated on for so many triples of a matrix with this smaller side."""
    return min(side, rank + max(_LEAST_MORE, rank // _MORE))


def iterate(matrix: Tensor, rank: int, name: str = "") -> Svd | None:
    """Find the largest triples.

    What rounds win falls about geometrically. When all further ones together can be
    expected to win less than 0.3 % of the energy that is left over, the error is within
    half a percent of the least possible one.

    Args:
        matrix: ``(rows, cols)``, finite.
        rank: triples wanted.
        name: of the tensor; the random start follows from it and from nothing else.

    Returns:
        None when that takes too many rounds.
    """
    rows, cols = matrix.shape
    wide = (matrix if rows <= cols else matrix.T).float()
    largest = float(wide.abs().max()) if wide.numel() else 0.0
    if largest == 0.0:
        return nothing(matrix)
    wide = wide / largest  # squares of tiny deltas leave float32's range
    basis = _basis(wide, rank, name)
    if basis is None:
        return None
    found = _within(wide, basis, rank)
    if found is not None and len(found.sigma) and float(found.sigma[-1] / found.sigma[0]) < _FAINT:
        # Fainter ones drown in the rounding of a Gram matrix in float32.
        found = _within(wide, _sharpened(wide, basis), rank)
    if found is None:
        return None
    left, right = (found.left, found.right) if rows <= cols else (found.right, found.left)
    # Fewer than wanted: the others are rounding noise, and these are all.
    return Svd(left, found.sigma * largest, right, is_whole=len(found.sigma) < rank)


def _basis(wide: Tensor, rank: int, name: str) -> Tensor | None:
    """Find orthonormal columns that span the largest left vectors and some more."""
    import torch

    size = sketch_size(rank, len(wide))
    square = lower_gram(wide, torch.float32).tril_()
    square = square + square.tril(-1).T
    total = float(square.diagonal().double().sum())
    normal = rng_for(0, name, "svd").standard_normal((len(wide), size), dtype=np.float32)
    basis, spread = _orthonormal(square @ torch.from_numpy(normal))
    wins: list[float] = []
    before = 0.0
    for _ in range(_ROUNDS):
        moved = square @ basis
        # What the best triples within the span hold, not the span itself, is to converge.
        squares = torch.linalg.eigvalsh(basis.T @ moved)[-rank:]
        won = float(squares.double().sum())
        wins.append(won - before)
        left = max(0.0, total - won)
        if left <= _NOTHING_LEFT * total or _still_to_win(wins) <= _ENOUGH * left:
            return basis
        before = won
        if spread < _SPREAD:
            for _ in range(_STEPS - 1):
                moved = square @ moved
        basis, spread = _orthonormal(moved)
    return None


def _still_to_win(wins: list[float]) -> float:
    """Expect of all further rounds what a geometric series would give.

    The first win counts from nothing and says nothing of the series.
    """
    if len(wins) < 3 or wins[-2] <= 0.0:
        return wins[-1]
    if wins[-1] <= 0.0:
        return 0.0
    ratio = wins[-1] / wins[-2]
    return wins[-1] * ratio / (1.0 - ratio) if ratio < 0.5 else wins[-1]


def _orthonormal(columns: Tensor) -> tuple[Tensor, float]:
    """Make columns orthonormal; give how far apart their lengths were."""
    import torch

    basis, triangle = torch.linalg.qr(columns)
    ends = triangle.diagonal().abs()
    return basis, float(ends.max() / ends.min().clamp_min(1e-30))


def _sharpened(wide: Tensor, basis: Tensor) -> Tensor:
    """Iterate on the matrix itself, orthonormal after every half step."""
    import torch

    for _ in range(2):
        basis = torch.linalg.qr(wide @ torch.linalg.qr(wide.T @ basis).Q).Q
    return basis


def _within(wide: Tensor, basis: Tensor, rank: int) -> Svd | None:
    """Give the triples of a wide matrix within a span of its left side."""
    small = gram_svd(basis.T @ wide, rank)
    if small is None:
        return None
    return Svd(basis @ small.left, small.sigma, small.right, is_whole=False)
