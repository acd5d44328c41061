"""Which way is cheapest for a shape and a rank: the one place that decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.numerics.low_rank.device import device_svd, link_for
from deltaworks.numerics.low_rank.gram import gram_svd
from deltaworks.numerics.low_rank.record import Svd, nothing
from deltaworks.numerics.low_rank.reference import reference_svd
from deltaworks.numerics.low_rank.sketch import iterate, sketch_size

if TYPE_CHECKING:
    from torch import Tensor

_SINGLE, _DOUBLE = 160e9, 80e9
"""Operations a second of products in float32 and float64, one core; measured."""
_EIGEN = 1.64e-10
"""Seconds an eigenvalue decomposition in float64 takes, by the cube of its side."""
_REFLECTIONS = 60e9
"""Operations a second of a QR in float32."""
_PRODUCTS, _ROUNDS = 6, 3
"""Of a sketch, mostly."""
_LEAST_SIDE = 512
"""Below it everything is quick, and all settings of a sweep share one exact result."""
_GAIN = 0.75


def thin_svd(matrix: Tensor) -> Svd:
    """Decompose a matrix, without the triples that are rounding noise.

    Args:
        matrix: ``(rows, cols)``, finite.
    """
    if min(matrix.shape) == 0:
        return nothing(matrix)
    return _elsewhere(matrix, min(matrix.shape)) or gram_svd(matrix) or reference_svd(matrix)


def _elsewhere(matrix: Tensor, rank: int) -> Svd | None:
    """Decompose on the job's device, if it has one and the matrix is large enough."""
    link = link_for(*matrix.shape)
    return next(device_svd(link, matrix[None], rank)) if link is not None else None


def top_svd(matrix: Tensor, rank: int, name: str = "") -> Svd:
    """Give the largest triples of a matrix, or all where that costs no more.

    Args:
        matrix: ``(rows, cols)``, finite.
        rank: triples wanted at least.
        name: of the tensor, from which a sketch takes its start.
    """
    side = min(matrix.shape)
    if side == 0 or rank <= 0:
        return nothing(matrix)
    rows, cols = matrix.shape
    found = _elsewhere(matrix, min(rank, side))
    if found is not None:
        return found
    if prefers_sketch(rows, cols, rank):
        return sketched_svd(matrix, rank, name)
    if side < _LEAST_SIDE:
        return thin_svd(matrix)
    return gram_svd(matrix, rank) or reference_svd(matrix).first(rank)


def sketched_svd(matrix: Tensor, rank: int, name: str = "") -> Svd:
    """Give the largest triples of a matrix by iterating on a subspace, whatever that costs.

    Args:
        matrix: ``(rows, cols)``, finite.
        rank: triples wanted.
        name: of the tensor, from which the random start follows.
    """
    if min(matrix.shape) == 0 or rank <= 0:
        return nothing(matrix)
    return iterate(matrix, rank, name) or thin_svd(matrix).first(rank)


def prefers_sketch(rows: int, cols: int, rank: int) -> bool:
    """Whether iterating on a subspace is worth it for so many triples."""
    side = min(rows, cols)
    if side < _LEAST_SIDE or rank >= side:
        return False
    return sketch_seconds(rows, cols, rank) < _GAIN * gram_seconds(rows, cols, rank)


def gram_seconds(rows: int, cols: int, rank: int) -> float:
    """Estimate a decomposition by the Gram matrix, on one core of the machine measured."""
    side, length = min(rows, cols), max(rows, cols)
    products = 1.2 * side * side * length + 2.0 * side * length * rank
    return products / _DOUBLE + _EIGEN * side**3


def sketch_seconds(rows: int, cols: int, rank: int) -> float:
    """Estimate a decomposition by subspace iteration, likewise."""
    side, length = min(rows, cols), max(rows, cols)
    size = sketch_size(rank, side)
    products = 1.2 * side * side * length + 2.0 * side * size * (_PRODUCTS * side + length)
    rounds = 4.0 * _ROUNDS * side * size * size
    return products / _SINGLE + rounds / _REFLECTIONS + gram_seconds(size, length, rank)
