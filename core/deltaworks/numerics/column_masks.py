"""Masks of the columns of a thin matrix, made again from a seed, a fixed count in each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.seeds import bits_for

Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int32]


def column_masks(seed: int, name: str, stream: str, counts: Counts, length: int) -> Mask:
    """Keep, in every column, the entries with the smallest words, ties from the first on.

    Column k uses the words from ``k length`` on, so that masks of fewer columns are the
    beginning of masks of more.

    Args:
        seed: the job's seed.
        name: tensor name.
        stream: tells apart several draws for one tensor.
        counts: entries to keep of each column, 0 to ``length``.
        length: entries of a column.

    Returns:
        ``(columns, length)``: a row for each column.
    """
    bits = bits_for(seed, name, stream)
    masks = np.zeros((len(counts), length), dtype=np.bool_)
    for mask, count in zip(masks, counts.tolist(), strict=True):
        words = bits.random_raw(length)
        if count >= length:
            mask.fill(True)
        else:
            mask[np.argsort(words, kind="stable")[:count]] = True
    return masks
