from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaworks.numerics.group_masks import _smallest, group_counts, group_masks
from deltaworks.numerics.seeds import raw_words


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 12), st.integers(1, 70), st.integers(1, 40), st.floats(0.01, 1.0))
def test_masks_equal_the_obvious_way(rows: int, cols: int, size: int, density: float) -> None:
    mask = group_masks(4, "w", rows, cols, size, density)

    words = raw_words(4, "w", rows * cols, "group-dropout").reshape(rows, cols)
    lengths, kept = group_counts(cols, size, density)
    assert lengths.sum() == cols
    for row in range(rows):
        for group, (length, count) in enumerate(zip(lengths, kept, strict=True)):
            piece = slice(group * size, group * size + length)
            smallest = np.sort(words[row, piece])[:count]
            assert set(words[row, piece][mask[row, piece]]) == set(smallest)


def test_several_pieces_are_one_stream() -> None:
    mask = group_masks(0, "w", 300, 1000, 128, 0.1)

    words = raw_words(0, "w", 300 * 1000, "group-dropout").reshape(300, 1000)
    last = words[250, 128:256]
    assert set(last[mask[250, 128:256]]) == set(np.sort(last)[:13])


def test_equal_words_are_settled_by_order() -> None:
    words = np.array([[5, 1, 5, 5], [1, 2, 3, 4]], dtype=np.uint64)

    assert _smallest(words, 3).tolist() == [[True, True, True, False], [True, True, True, False]]


@pytest.mark.parametrize(
    ("cols", "size", "lengths", "kept"),
    [(0, 8, [], []), (8, 8, [8], [1]), (20, 8, [8, 8, 4], [1, 1, 1]), (5, 9, [5], [1])],
)
def test_only_the_last_group_is_shorter(
    cols: int, size: int, lengths: list[int], kept: list[int]
) -> None:
    found = group_counts(cols, size, 0.1)

    assert [one.tolist() for one in found] == [lengths, kept]
