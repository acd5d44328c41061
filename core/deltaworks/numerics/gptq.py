"""Rounding column by column, each error made good by the columns that are still to come.

Source: Frantar et al., "GPTQ", arXiv:2210.17323; with columns dropped as well, "SparseGPT",
arXiv:2301.00774. For outputs ``x W^T`` and ``H`` proportional to the mean of ``x x^T``, the
error e of column j is made good by taking ``e U[j, k] / U[j, j]`` from each later column k,
where ``H^-1 = U^T U``. Blocks of columns are brought up to date at once; the result is that
of one column after another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 128


class Rounder(Protocol):
    """How columns are rounded."""

    def begin(self, start: int, columns: Tensor, diagonal: Tensor) -> None:
        """Look at the next group of columns as they are now.

        Args:
            start: number of its first column.
            columns: ``(rows, group)``; not to be changed.
            diagonal: of U, for these columns.
        """

    def round(self, column: int, values: Tensor) -> Tensor:
        """Round one column of ``(rows,)`` values; give what will be decoded."""


def round_columns(
    weights: Tensor,
    upper: Tensor,
    rounder: Rounder,
    *,
    group: int = 1,
    mask: Tensor | None = None,
    block: int = BLOCK,
) -> Tensor:
    """Round all columns in their order.

    Args:
        weights: ``(rows, columns)`` float32 or float64, not changed.
        upper: U of the inputs' second moments, ``(columns, columns)``.
        rounder: told of each group before its first column.
        group: columns that the rounder sees together.
        mask: entries that may be other than 0, ``(rows, columns)``; None for all. The
            others take no part in making errors good.
        block: columns that are brought up to date together.

    Returns:
        What will be decoded, of the shape of ``weights``.
    """
    import torch

    left = weights.clone()
    out = torch.empty_like(left)
    n_columns = left.shape[1]
    width = group * max(1, block // max(1, group))
    diagonal = upper.diagonal()
    for start in range(0, n_columns, width):
        end = min(start + width, n_columns)
        now = left[:, start:end]
        errors = torch.empty_like(now)
        for column in range(start, end):
            at = column - start
            if at % group == 0:
                rounder.begin(column, now[:, at : at + group], diagonal[column : column + group])
            values = now[:, at] if mask is None else now[:, at] * mask[:, column]
            found = rounder.round(column, values)
            out[:, column] = found
            error = (values - found) / diagonal[column]
            errors[:, at] = error
            if column + 1 < end:
                now[:, at + 1 :].addr_(error, upper[column, column + 1 : end], alpha=-1)
        if end < n_columns:
            left[:, end:].addmm_(errors, upper[start:end, end:], alpha=-1)
    return out


def round_apart(weights: Tensor, rounder: Rounder, *, group: int = 1) -> Tensor:
    """Round all columns, none making another's error good: as if inputs were all alike.

    Args:
        weights: ``(rows, columns)``, not changed.
        rounder: told of each group before its first column.
        group: columns that the rounder sees together.
    """
    import torch

    out = torch.empty_like(weights)
    alike = torch.ones(weights.shape[1])
    for column in range(weights.shape[1]):
        if column % group == 0:
            span = slice(column, column + group)
            rounder.begin(column, weights[:, span], alike[span])
        out[:, column] = rounder.round(column, weights[:, column])
    return out


def output_error(difference: Tensor, gram: Tensor) -> float:
    """Mean squared error of a layer's outputs, summed over them: ``tr(E G E^T)``.

    Args:
        difference: E, ``(rows, columns)``.
        gram: G, mean of ``x x^T``.
    """
    wide = difference.double()
    return float(((wide @ gram.double()) * wide).sum())
