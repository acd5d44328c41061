"""Which part of a larger matrix to take: the window, or rows and columns, that count most."""

from __future__ import annotations

import numpy as np

from deltaworks.errors import MismatchError
from deltaworks.methods.transfer.record import Block, Places, Scores
from deltaworks.numerics.seeds import rng_for


def best_window(scores: Scores, rows: int, cols: int) -> tuple[int, int]:
    """Find the contiguous window with the largest sum; the first in row-major order of equals.

    A summed-area table in float64: float32 loses the differences of a 5120 x 13824 matrix.

    Args:
        scores: ``(n, m)``, not negative.
        rows: of the window, at most n.
        cols: of the window, at most m.

    Returns:
        Its top and left.

    Raises:
        MismatchError: the window is larger than the matrix.
    """
    _check(scores, rows, cols)
    table = np.zeros((scores.shape[0] + 1, scores.shape[1] + 1))
    np.cumsum(scores, axis=0, dtype=np.float64, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    sums = table[rows:, cols:] - table[:-rows, cols:] - table[rows:, :-cols] + table[:-rows, :-cols]
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return top, left


def window_block(scores: Scores, rows: int, cols: int) -> Block:
    """Take the window with the largest sum."""
    return _window(scores, *best_window(scores, rows, cols), rows, cols)


def random_block(scores: Scores, rows: int, cols: int, seed: int, name: str) -> Block:
    """Take a window anywhere: a function of seed and tensor name alone."""
    _check(scores, rows, cols)
    rng = rng_for(seed, name, "window")
    top = int(rng.integers(scores.shape[0] - rows + 1))
    left = int(rng.integers(scores.shape[1] - cols + 1))
    return _window(scores, top, left, rows, cols)


def row_column_block(scores: Scores, rows: int, cols: int) -> Block:
    """Take the rows and the columns of highest mean score, in their own order."""
    _check(scores, rows, cols)
    wide = scores.astype(np.float64, copy=False)
    return _block(scores, _largest(wide.mean(axis=1), rows), _largest(wide.mean(axis=0), cols))


def _largest(values: Scores, count: int) -> Places:
    order = np.argsort(-values, kind="stable")[:count]
    return np.sort(order).astype(np.int64)


def _window(scores: Scores, top: int, left: int, rows: int, cols: int) -> Block:
    return _block(scores, np.arange(top, top + rows), np.arange(left, left + cols))


def _block(scores: Scores, rows: Places, cols: Places) -> Block:
    whole = float(scores.sum(dtype=np.float64))
    inside = float(scores[np.ix_(rows, cols)].sum(dtype=np.float64))
    return Block(rows, cols, inside / whole if whole else 0.0)


def _check(scores: Scores, rows: int, cols: int) -> None:
    if rows < 1 or cols < 1 or rows > scores.shape[0] or cols > scores.shape[1]:
        what = f"a block of {rows} x {cols} does not fit into {scores.shape[0]} x {scores.shape[1]}"
        raise MismatchError(what, fix="The source must be at least as large in every matrix.")
