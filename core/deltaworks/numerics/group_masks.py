"""Masks of a matrix made again from a seed, with the same count kept in every group of a row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.chunks import row_spans
from deltaworks.numerics.seeds import bits_for
from deltaworks.numerics.selection import kept_count

Mask = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]


def group_counts(cols: int, size: int, density: float) -> tuple[Counts, Counts]:
    """Split a row into groups; only the last one may be shorter.

    Args:
        cols: entries of a row.
        size: entries of a group.
        density: share kept, 0 to 1; at least one entry of every group is.

    Returns:
        Length of each group and how many of it are kept.
    """
    n_groups = -(-cols // size)
    lengths = np.full(n_groups, size, dtype=np.int64)
    lengths[n_groups - 1 :] = cols - size * (n_groups - 1)
    kept = np.array([kept_count(int(length), density) for length in lengths], dtype=np.int64)
    return lengths, kept


def group_masks(seed: int, name: str, rows: int, cols: int, size: int, density: float) -> Mask:
    """Keep, in every group, the entries with the smallest words, ties from the first on.

    Word i belongs to entry i of the matrix in C order.

    Args:
        seed: the job's seed.
        name: tensor name.
        rows: of the matrix.
        cols: of the matrix.
        size: entries of a group of a row.
        density: share kept.
    """
    bits = bits_for(seed, name, "group-dropout")
    _, kept = group_counts(cols, size, density)
    whole = cols // size * size
    mask = np.empty((rows, cols), dtype=np.bool_)
    for span in row_spans(rows, cols):
        n_rows = span.stop - span.start
        words = bits.random_raw(n_rows * cols).reshape(n_rows, cols)
        if whole:
            groups = words[:, :whole].reshape(-1, size)
            mask[span, :whole] = _smallest(groups, int(kept[0])).reshape(n_rows, whole)
        if whole < cols:
            mask[span, whole:] = _smallest(words[:, whole:], int(kept[-1]))
    return mask


def _smallest(words: Words, count: int) -> Mask:
    """Mark the ``count`` smallest of each row."""
    if count >= words.shape[1]:
        return np.ones(words.shape, dtype=np.bool_)
    last = np.partition(words, count - 1, axis=1)[:, count - 1 : count]
    mask: Mask = words <= last
    # Two equal words of 64 bits: as good as never, and then settled by order.
    for row in np.flatnonzero(mask.sum(axis=1) != count):
        mask[row] = False
        mask[row, np.argsort(words[row], kind="stable")[:count]] = True
    return mask
