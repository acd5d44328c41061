"""The best one-to-one assignment of rows to columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


def assign(gain: Doubles) -> Places:
    """Give every row a column of its own so that the sum of gains is largest.

    Shortest augmenting paths (Jonker and Volgenant 1987), one row at a time; a path costs
    one pass over a row of the matrix for every row on it.

    Args:
        gain: ``(n, n)``, finite.

    Returns:
        The column of each row.
    """
    size = len(gain)
    cost = gain.max(initial=0.0) - gain
    of_rows, of_columns = np.zeros(size), np.zeros(size)
    row_of = np.full(size, -1, dtype=np.int64)
    for row in range(size):
        _augment(row, cost, of_rows, of_columns, row_of)
    columns = np.empty(size, dtype=np.int64)
    columns[row_of] = np.arange(size)
    return columns


def _augment(
    start: int, cost: Doubles, of_rows: Doubles, of_columns: Doubles, row_of: Places
) -> None:
    """Find the cheapest way to a free column, and change the assignment along it."""
    size = len(cost)
    reached = np.full(size, np.inf)
    before = np.full(size, -1, dtype=np.int64)
    done = np.zeros(size, dtype=bool)
    row, shortest, column = start, 0.0, -1
    while True:
        way = shortest + cost[row] - of_rows[row] - of_columns
        better = ~done & (way < reached)
        reached[better], before[better] = way[better], row
        column = int(np.where(done, np.inf, reached).argmin())
        shortest = float(reached[column])
        done[column] = True
        if row_of[column] < 0:
            break
        row = int(row_of[column])
    of_rows[start] += shortest
    passed = done.copy()
    passed[column] = False
    slack = shortest - reached[passed]
    of_rows[row_of[passed]] += slack
    of_columns[passed] -= slack
    while True:
        row = int(before[column])
        previous = np.flatnonzero(row_of == row)
        row_of[column] = row
        if row == start:
            return
        column = int(previous[previous != column][0])
