"""How the entries that are not admitted move so that the layer's outputs move back.

With an admitted set S and the rest F of a row, the change ``E`` is ``D`` on S; the ways
below choose it on F. All use ``H^-1 = U^T U`` alone.

- joint: the exact optimum ``E_F = -D_S H_SF (H_FF)^-1``, which is ``D_S (P_SS)^-1 P_SF``
  with ``P = H^-1``.
- sequential: columns from left to right, only those to the right move. With S fixed this
  is one triangular system: ``e_S U_SS = -D_S``, ``E_F = -e_S U_SF``.
- sum: the sum of every single entry's best answer ``D_m / P_mm * P_m,:``. Counts
  correlated columns twice.

Source: Lu et al., "Safe Delta", arXiv:2505.12038 (sum); ColinLu50/SafeDelta, after
SparseGPT (sequential); joint is ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Groups = Iterable[tuple[slice, "Tensor"]]


def plain(delta: Tensor, groups: Groups) -> Tensor:
    """Leave what is not admitted where it was."""
    import torch

    change = torch.zeros_like(delta)
    for rows, chosen in groups:
        change[rows, chosen] = delta[rows, chosen]
    return change


def summed(delta: Tensor, groups: Groups, upper: Tensor) -> Tensor:
    """Add up every admitted entry's own best answer."""
    inverse_diagonal = upper.square().sum(0)
    change = plain(delta, ())
    for rows, chosen in groups:
        weights = delta[rows][:, chosen].to(upper.dtype) / inverse_diagonal[chosen]
        moved = (weights @ upper[:, chosen].T) @ upper
        change[rows] = moved.to(change.dtype)
        change[rows, chosen] = delta[rows, chosen]
    return change


def joint(delta: Tensor, groups: Groups, upper: Tensor) -> Tensor:
    """Give the change of least damage among those that hold the admitted entries."""
    import torch

    change = plain(delta, ())
    for rows, chosen in groups:
        if not len(chosen):
            continue
        own = upper[:, chosen]
        solved = torch.cholesky_solve(
            delta[rows][:, chosen].to(upper.dtype).T, torch.linalg.cholesky(own.T @ own)
        )
        moved = (solved.T @ own.T) @ upper
        change[rows] = moved.to(change.dtype)
        change[rows, chosen] = delta[rows, chosen]
    return change


def answered(
    delta: Tensor, current: Tensor, groups: Groups, upper: Tensor
) -> tuple[Tensor, Tensor]:
    """Treat one block of columns sequentially.

    Args:
        delta: target of admitted entries, ``(out, block)``.
        current: change so far, from blocks to the left; likewise.
        groups: rows and their admitted columns, counted from the block's first.
        upper: the block of U on the diagonal, ``(block, block)``.

    Returns:
        The block's change, and the errors that later blocks answer, ``(out, block)``.
    """
    import torch

    change, errors = current.clone(), torch.zeros_like(current)
    for rows, chosen in groups:
        if not len(chosen):
            continue
        wanted = delta[rows][:, chosen].to(current.dtype)
        own = upper[chosen]
        found = torch.linalg.solve_triangular(
            own[:, chosen], current[rows][:, chosen] - wanted, upper=True, left=False
        )
        change[rows] -= found @ own
        change[rows, chosen] = wanted
        errors[rows, chosen] = found
    return change, errors


def without_neighbours(upper: Tensor, group: int) -> Tensor:
    """Cut the ties inside groups of columns, as the authors do to save time.

    Args:
        upper: a block of U on the diagonal.
        group: columns that do not answer each other; 1 gives the block itself.
    """
    import torch

    if group <= 1:
        return upper
    number = torch.arange(len(upper)) // group
    inside = (number[:, None] == number[None, :]).triu(1)
    return upper.masked_fill(inside, 0.0)
