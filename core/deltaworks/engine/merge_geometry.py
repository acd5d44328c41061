"""How a merged change lies among the experts' changes, from weights alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

MOST_SIDE = 1024
"""Smaller side of a matrix whose effective rank is found; larger ones cost too much."""


@dataclass
class Geometry:
    """Sums over tensors; ``as_json`` tells what they mean.

    Args:
        n_experts: how many.
    """

    n_experts: int
    energy: float = 0.0
    energies: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    dots: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    alike: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    moved: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    changed: int = 0
    count: int = 0
    ranks: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("energies", "dots", "alike", "moved"):
            setattr(self, name, np.zeros(self.n_experts))

    def add(self, other: Geometry) -> None:
        """Add what was found of other tensors."""
        self.energy += other.energy
        self.energies += other.energies
        self.dots += other.dots
        self.alike += other.alike
        self.moved += other.moved
        self.changed += other.changed
        self.count += other.count
        self.ranks += other.ranks

    def as_json(self) -> dict[str, Any]:
        """Give figures for the record; None where there is nothing to divide by."""
        lengths = np.sqrt(self.energies)
        mean = float(lengths.mean())
        return {
            "norm_ratio": sqrt(self.energy) / mean if mean else None,
            "cosines": [
                dot / (sqrt(self.energy) * length) if self.energy and length else None
                for dot, length in zip(self.dots.tolist(), lengths.tolist(), strict=True)
            ],
            "sign_agreement": [
                one / all_ if all_ else None
                for one, all_ in zip(self.alike.tolist(), self.moved.tolist(), strict=True)
            ],
            "changed": self.changed / self.count if self.count else None,
            "effective_rank": sum(self.ranks) / len(self.ranks) if self.ranks else None,
        }


def geometry_of(
    merged: Tensor, base: Tensor, deltas: dict[int, Tensor], n_experts: int
) -> Geometry:
    """Compare one merged tensor with the experts' changes.

    Args:
        merged: as it is stored.
        base: float32, of the same shape.
        deltas: of the experts that have it, by their places, float32.
        n_experts: all of them.
    """
    delta = merged.float() - base
    found = Geometry(n_experts)
    found.energy = _dot(delta, delta)
    found.changed, found.count = int((delta != 0).sum()), delta.numel()
    signs = delta.sign()
    for place, other in deltas.items():
        found.energies[place] = _dot(other, other)
        found.dots[place] = _dot(delta, other)
        moved = other != 0
        found.moved[place] = int(moved.sum())
        found.alike[place] = int(((other.sign() == signs) & moved).sum())
    rank = effective_rank(delta)
    found.ranks = [] if rank is None else [rank]
    return found


def _dot(one: Tensor, other: Tensor) -> float:
    return float(np.dot(one.reshape(-1).double().numpy(), other.reshape(-1).double().numpy()))


def effective_rank(delta: Tensor) -> float | None:
    """Give ``exp(H(sigma / sum sigma))`` as a share of the full rank.

    Args:
        delta: of any shape.

    Returns:
        None for what is no matrix, is zero, or is larger than ``MOST_SIDE``.
    """
    import torch

    if delta.ndim != 2 or not 1 < min(delta.shape) <= MOST_SIDE:
        return None
    wide = delta.double() if delta.shape[0] <= delta.shape[1] else delta.double().T
    sigma = torch.linalg.eigvalsh(wide @ wide.T).clamp_min(0).sqrt()
    total = float(sigma.sum())
    if not total:
        return None
    share = sigma[sigma > 1e-12 * sigma.max()] / total
    return exp(float(-(share * share.log()).sum())) / min(delta.shape)
