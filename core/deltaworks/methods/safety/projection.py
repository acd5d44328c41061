"""Projection onto the directions of alignment, and how much of a change lies in them.

Source: Hsu et al., "Safe LoRA", NeurIPS 2024; IBM/SafeLoRA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Projector = Literal["approximate", "exact"]
_SMALLEST = 1e-6
"""Singular values below this share of the largest count as zero."""
_DECIMALS = 5
"""Of cosines, as the authors round them."""


def project(vector: Tensor, change: Tensor, kind: Projector) -> Tensor:
    """Give ``P X`` without the square matrix P where that is smaller.

    Args:
        vector: V, aligned minus reference, ``(out, in)``; not all zero.
        change: X, ``(out, n)``.
        kind: ``P = V V^T / ||V||``, or the orthogonal projector onto V's columns.
    """
    import torch

    if kind == "exact":
        left, values, _ = torch.linalg.svd(vector, full_matrices=False)
        basis: Tensor = left[:, values > _SMALLEST * values[0]]
        return basis @ (basis.T @ change)
    scaled: Tensor = vector / vector.norm()
    if vector.shape[0] <= min(vector.shape[1], change.shape[1]):
        return (scaled @ vector.T) @ change
    return scaled @ (vector.T @ change)


def cosine_of(projected: Tensor, change: Tensor) -> float:
    """Give ``cos(P D, D)``; 0 where one is all zero."""
    dot = float((projected * change).sum())
    return _rounded(dot, float(projected.norm() * change.norm()))


def cosine_of_pairs(projected: Tensor, left: Tensor, right: Tensor) -> float:
    """Give ``cos(P B A, B A)`` from the factors: ``<PBA, BA> = tr((PB)^T B (A A^T))``.

    Args:
        projected: P B, ``(out, rank)``.
        left: B, likewise.
        right: A, ``(rank, in)``.
    """
    outer = right @ right.T
    dot = float(((projected.T @ left) * outer).sum())
    first = float(((projected.T @ projected) * outer).sum())
    second = float(((left.T @ left) * outer).sum())
    return _rounded(dot, max(0.0, first * second) ** 0.5)


def _rounded(dot: float, size: float) -> float:
    return round(dot / size, _DECIMALS) if size else 0.0
