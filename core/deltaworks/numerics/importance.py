"""How sparse each singular vector may be, so that all of them fit a budget.

Source: Algorithm 1 of ImPart, arXiv:2504.13237. The budget for shapes other than squares
and Llama's is ours: thinned factors hold ``rows cols / ratio`` numbers, whatever the
shape, and the share cut off beforehand is scaled so that it means the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_ROUNDING = 1e-9
_STEPS = 30


def sparsity_for(rows: int, cols: int, rank: int, ratio: float) -> float:
    """Share of the factors' entries to drop, on average over all triples; 0 when all fit.

    Args:
        rows: of the matrix.
        cols: of the matrix.
        rank: triples that there are.
        ratio: numbers of the matrix for each number that may be kept.
    """
    dense = rank * (rows + cols)
    return 1.0 - min(1.0, rows * cols / (ratio * dense)) if dense else 0.0


def cut_for(rows: int, cols: int, rank: int, cut: float, sparsity: float) -> float:
    """Share of the smallest triples to cut off, from the share meant for a full square matrix."""
    dense = rank * (rows + cols)
    share = 1.0 - (1.0 - cut) * 2.0 * rows * cols / dense if dense else 0.0
    return min(max(share, 0.0), sparsity)


def sparsities(sigma: npt.NDArray[Any], sparsity: float, cut: float, exponent: float) -> Floats:
    """Give the share of entries to drop of each singular vector; 1 drops the triple.

    The first vector is never thinned. When the others cannot be thinned enough, triples
    are dropped from the smallest on, but never the first: its matrix then costs more than
    the budget.

    Args:
        sigma: singular values, all positive, the largest first.
        sparsity: wanted on average over all of them (α), 0 to 1.
        cut: share of the smallest dropped beforehand (β), at most ``sparsity``.
        exponent: to which singular values are raised (C).

    Returns:
        Shares that do not decrease.
    """
    p = np.ones(len(sigma))
    if len(sigma) == 0:
        return p
    cut = min(cut, sparsity)
    # Binary fractions: 10 * (1 - 0.8) is a little less than 2 and must stay 2.
    left = max(1, int(len(sigma) * (1.0 - cut) + _ROUNDING))
    mean = (sparsity - cut) / (1.0 - cut) if cut < 1.0 else 0.0
    # Divided before the power: tiny values would vanish in it.
    weight = (sigma[:left].astype(np.float64) / float(sigma[0])) ** exponent
    p[:left] = mean * (1.0 - weight)
    missing = mean * left - float(p[:left].sum())
    if missing > _ROUNDING * left:
        won = np.cumsum(1.0 - p[1:left][::-1])
        n_dropped = min(int(np.searchsorted(won, missing - _ROUNDING * left)) + 1, left - 1)
        p[left - n_dropped : left] = 1.0
    return p


def sparsity_at_cost(
    sigma: npt.NDArray[Any], costs: Floats, budget: float, cut: float, exponent: float
) -> float:
    """Find the smallest average sparsity that keeps coded vectors within a budget.

    Args:
        sigma: as for ``sparsities``.
        costs: bits a kept entry of each triple takes.
        budget: bits that the kept share may take in all: the sum of costs times shares.
        cut: as for ``sparsities``.
        exponent: as for ``sparsities``.

    Returns:
        The sparsity to give to ``sparsities``; 1 when even that is too much.
    """

    def cost(sparsity: float) -> float:
        return float((costs * (1.0 - sparsities(sigma, sparsity, cut, exponent))).sum())

    if cost(0.0) <= budget:
        return 0.0
    dense, sparse = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (dense + sparse) / 2.0
        if cost(middle) > budget:
            dense = middle
        else:
            sparse = middle
    return sparse
