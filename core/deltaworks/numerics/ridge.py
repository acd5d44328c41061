"""Ridge regression from running sums, and the choice of its strength.

Source: McDonnell et al., "RanPAC", arXiv:2307.02251, and its code: sums ``G += H^T H`` and
``Q += H^T Y``, weights ``(G + strength I)^-1 Q``, the strength chosen on a fifth of the current
task's rows. Everything in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.seeds import rng_for

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

STRENGTHS = tuple(10.0**power for power in range(-8, 9))
"""What RanPAC tries."""
_FIRST = 0.8
"""Share of the rows that a strength is fitted on."""


@dataclass
class RidgeSums:
    """What ridge regression has to remember of all rows so far.

    Any order and any split of the rows gives the same sums.

    Args:
        gram: ``(M, M)``, sum of ``h h^T``.
        targets: ``(M, C)``, sum of ``h`` of each class.
    """

    gram: Floats
    targets: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    @classmethod
    def empty(cls, width: int) -> RidgeSums:
        """Begin with nothing."""
        return cls(np.zeros((width, width)), np.zeros((width, 0)))

    def add(self, rows: npt.NDArray[Any], labels: Labels) -> None:
        """Add rows ``(n, M)`` with the numbers of their classes."""
        rows = np.asarray(rows, dtype=np.float64)
        n_classes = max(self.targets.shape[1], int(labels.max()) + 1 if len(labels) else 0)
        new = n_classes - self.targets.shape[1]
        grown: Floats = np.pad(self.targets, ((0, 0), (0, new)))
        self.gram = self.gram + rows.T @ rows
        self.targets = grown + rows.T @ one_hot(labels, n_classes)

    def solve(self, strength: float) -> Floats:
        """Give the weights ``(M, C)``."""
        damped = self.gram + strength * np.eye(len(self.gram))
        weights: Floats = np.linalg.solve(damped, self.targets).astype(np.float64, copy=False)
        return weights


def one_hot(labels: Labels, n_classes: int) -> Floats:
    """Give 1 in the column of each row's class, 0 elsewhere."""
    found = np.zeros((len(labels), n_classes))
    found[np.arange(len(labels)), labels] = 1.0
    return found


def choose_strength(
    rows: npt.NDArray[Any],
    labels: Labels,
    *,
    seed: int,
    strengths: Sequence[float] = STRENGTHS,
) -> float:
    """Choose the strength whose squared error on held-out rows is least.

    One eigendecomposition serves all strengths. Ties go to the stronger one.

    Args:
        rows: of the current task, ``(n, M)``; shuffled first.
        labels: numbers of their classes.
        seed: of the shuffling.
        strengths: to try.

    Returns:
        One of them; the middle one where there are too few rows to hold any out.
    """
    n_first = int(_FIRST * len(rows))
    if n_first == 0 or n_first == len(rows):
        return sorted(strengths)[len(strengths) // 2]
    order = rng_for(seed, "ridge-rows").permutation(len(rows))
    rows, labels = rows.astype(np.float64, copy=False)[order], labels[order]
    known = one_hot(labels, int(labels.max()) + 1)
    fitted, held = slice(None, n_first), slice(n_first, None)
    values, vectors = np.linalg.eigh(rows[fitted].T @ rows[fitted])
    values = np.maximum(values, 0.0)[:, None]
    inner = vectors.T @ (rows[fitted].T @ known[fitted])
    seen = rows[held] @ vectors
    errors = {
        strength: float(np.square(seen @ (inner / (values + strength)) - known[held]).mean())
        for strength in sorted(strengths, reverse=True)
    }
    return min(errors, key=lambda strength: errors[strength])


def draw_projection(width: int, n_columns: int, seed: int, scale: float = 1.0) -> Floats:
    """Draw the random projection ``(width, n_columns)``: normal entries times a scale."""
    drawn = rng_for(seed, "ridge-projection").standard_normal((width, n_columns))
    return scale * drawn
