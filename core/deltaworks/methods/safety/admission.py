"""Which entries of a delta are let back in: the cheapest ones, until a budget is spent.

Gain over cost does not depend on the entry, only on its column, so whole columns go in
from the cheapest on, and one column in part.

Source: Lu et al., "Safe Delta", arXiv:2505.12038; ColinLu50/SafeDelta.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Admission:
    """The admitted entries of a block of columns.

    Args:
        n_rows: rows of the layer.
        columns: admitted whole, ascending, counted from the layer's first column.
        boundary: column that is admitted in part; -1 for none.
        part: how many of its rows are, from the first on.
        budget: what could be spent; ``spent`` what was.
    """

    n_rows: int
    columns: Tensor
    boundary: int
    part: int
    budget: float
    spent: float

    @property
    def count(self) -> int:
        """Admitted entries."""
        return len(self.columns) * self.n_rows + self.part

    @property
    def cuts(self) -> tuple[int, ...]:
        """Rows at which the set of columns changes."""
        return (self.part,) if self.part else ()

    def columns_at(self, row: int) -> Tensor:
        """Columns admitted in a row, ascending."""
        import torch

        if row >= self.part:
            return self.columns
        return torch.cat([self.columns, torch.tensor([self.boundary])]).sort().values


def admit(
    delta: Tensor, keys: Tensor, *, first: int = 0, budget: float, protect: float = 0.0
) -> Admission:
    """Admit the longest prefix, cheapest column first, whose running cost fits the budget.

    Equal keys go by column; within a column rows go from the first on.

    Args:
        delta: what would be admitted, a block of columns, ``(out, block)``.
        keys: cost of a unit of each column, ``(block,)`` float64.
        first: the block's first column in the layer.
        budget: cost that may be spent.
        protect: share of the entries, the dearest ones, that is never admitted.
    """
    import torch

    n_rows = len(delta)
    order = keys.argsort(stable=True)
    running = (column_squares(delta) * keys)[order].cumsum(0)
    n_whole = int((running <= budget).sum())
    part, spent = 0, float(running[n_whole - 1]) if n_whole else 0.0
    if n_whole < len(order):
        column = int(order[n_whole])
        inside = (delta[:, column].double().square() * keys[column]).cumsum(0) + spent
        part = int((inside <= budget).sum())
        spent = float(inside[part - 1]) if part else spent
    n_most = delta.numel() - int(protect * delta.numel())
    if n_whole * n_rows + part > n_most:
        n_whole, part = divmod(n_most, n_rows)
        spent = float(running[n_whole - 1]) if n_whole else 0.0
        if part:
            column = int(order[n_whole])
            spent += float((delta[:part, column].double().square() * keys[column]).sum())
    if part == n_rows:  # rounding of the two sums may let a column in that the first left out
        n_whole, part = n_whole + 1, 0
    boundary = first + int(order[n_whole]) if part else -1
    columns = torch.sort(order[:n_whole] + first).values
    return Admission(n_rows, columns, boundary, part, budget, spent)


def column_squares(delta: Tensor) -> Tensor:
    """Sum of squares of every column, ``(block,)`` float64, in pieces."""
    import torch

    from deltaworks.methods.safety.layer_inputs import chunks

    total = torch.zeros(delta.shape[1], dtype=torch.float64)
    for rows in chunks(len(delta)):
        total += delta[rows].double().square().sum(0)
    return total


def row_groups(admissions: Sequence[Admission]) -> Iterator[tuple[slice, Tensor]]:
    """Give rows that share their admitted columns, and these columns, ascending."""
    import torch

    n_rows = admissions[0].n_rows
    cuts = sorted({0, n_rows, *(cut for one in admissions for cut in one.cuts)})
    for start, end in pairwise(cuts):
        found = torch.cat([one.columns_at(start) for one in admissions])
        yield slice(start, end), found.sort().values


def mask_of(admissions: Sequence[Admission], n_columns: int) -> Tensor:
    """Give the admitted entries as booleans, ``(out, in)``."""
    import torch

    mask = torch.zeros(admissions[0].n_rows, n_columns, dtype=torch.bool)
    for rows, columns in row_groups(admissions):
        mask[rows, columns] = True
    return mask
