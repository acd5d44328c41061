"""How alike two representations, or two weights, are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.errors import OptionError

Matrix = npt.NDArray[np.floating[Any]]
_FEWEST_UNBIASED = 4


def cosine(first: Matrix, second: Matrix) -> float:
    """Give the cosine over all entries; 0 when either is zero."""
    one, other = first.astype(np.float64).ravel(), second.astype(np.float64).ravel()
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norms if norms else 0.0


def start_cosines(block: Matrix, weight: Matrix) -> tuple[float, float]:
    """Compare what training starts from with a weight, and with what stays frozen of it.

    Returns:
        ``cos(E, W)`` and ``cos(E, W - E)``.
    """
    return cosine(block, weight), cosine(block, weight.astype(np.float64) - block)


def linear_cka(first: Matrix, second: Matrix, *, unbiased: bool = False) -> float:
    """Give the centred kernel alignment of two sets of features of the same inputs.

    Plain CKA lies in [0, 1] and is too high with few inputs; the unbiased estimate (HSIC_1)
    can be slightly negative. Either is computed the cheaper way, by features or by Grams.

    Args:
        first: ``(n, p)``.
        second: ``(n, q)``, row by row of the same inputs.
        unbiased: which estimate; it needs at least 4 inputs.

    Returns:
        0 where one side does not vary.

    Raises:
        OptionError: the numbers of inputs differ or are too few.
    """
    x, y = first.astype(np.float64), second.astype(np.float64)
    if len(x) != len(y) or len(x) < (_FEWEST_UNBIASED if unbiased else 2):
        raise OptionError(f"{len(x)} and {len(y)} inputs", where="CKA", fix="Give more texts.")
    if unbiased:
        kernels = x @ x.T, y @ y.T
        across, one, other = (_hsic(kernels[i], kernels[j]) for i, j in ((0, 1), (0, 0), (1, 1)))
        return across / float(np.sqrt(one * other)) if one > 0 and other > 0 else 0.0
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    if max(x.shape[1], y.shape[1]) > len(x):
        kernels = x @ x.T, y @ y.T
        across, norms = float(np.vdot(*kernels)), [float(np.linalg.norm(k)) for k in kernels]
    else:
        across = float(np.linalg.norm(y.T @ x)) ** 2
        norms = [float(np.linalg.norm(one.T @ one)) for one in (x, y)]
    return across / (norms[0] * norms[1]) if norms[0] * norms[1] else 0.0


def _hsic(first: Matrix, second: Matrix) -> float:
    """HSIC_1 of two kernels (Song et al. 2012)."""
    n = len(first)
    k, m = first.copy(), second.copy()
    np.fill_diagonal(k, 0.0)
    np.fill_diagonal(m, 0.0)
    sums = k.sum(axis=0), m.sum(axis=0)
    found = float(np.vdot(k, m)) + float(k.sum() * m.sum()) / ((n - 1) * (n - 2))
    return (found - 2 / (n - 2) * float(sums[0] @ sums[1])) / (n * (n - 3))
