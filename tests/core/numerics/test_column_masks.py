from __future__ import annotations

import numpy as np
import pytest

from deltaworks.numerics.column_masks import column_masks
from deltaworks.numerics.seeds import raw_words


def test_every_column_keeps_its_smallest_words() -> None:
    counts = np.array([0, 1, 5, 17, 20], dtype=np.int32)

    masks = column_masks(3, "w", "s", counts, 20)

    words = raw_words(3, "w", 100, "s").reshape(5, 20)
    for mask, word, count in zip(masks, words, counts, strict=True):
        assert set(np.flatnonzero(mask)) == set(np.argsort(word)[:count])


def test_fewer_columns_are_the_beginning_of_more() -> None:
    counts = np.array([4, 3, 2], dtype=np.int32)

    more, fewer = (column_masks(0, "w", "s", counts[:n], 9) for n in (3, 2))

    assert np.array_equal(more[:2], fewer)


@pytest.mark.parametrize("other", [(1, "w", "s"), (0, "x", "s"), (0, "w", "t")])
def test_seed_name_and_stream_each_matter(other: tuple[int, str, str]) -> None:
    counts = np.full(4, 8, dtype=np.int32)

    one, two = (column_masks(*key, counts, 32) for key in ((0, "w", "s"), other))

    assert not np.array_equal(one, two)
