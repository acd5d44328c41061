from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deltaworks.numerics.selection import (
    Cut,
    keep_mask,
    kept_count,
    magnitude_cut,
)


def _sorted_way(values: np.ndarray, keep: int) -> list[bool]:
    """The obvious way: a stable sort, so that ties stay in order."""
    mask = np.zeros(len(values), dtype=bool)
    mask[np.argsort(-np.abs(values), kind="stable")[:keep]] = True
    return mask.tolist()


@settings(max_examples=150, deadline=None)
@given(
    hnp.arrays(
        np.float32, st.integers(0, 200), elements=st.sampled_from([0, -0.0, 1, -1, 2, 3e-42])
    ),
    st.floats(0.0, 1.0),
)
def test_ties_are_kept_from_the_lowest_index(values: np.ndarray, share: float) -> None:
    keep = int(share * len(values))

    assert keep_mask(values, magnitude_cut(values, keep)).tolist() == _sorted_way(values, keep)


@pytest.mark.parametrize("keep", [1, 17, 20_000, 199_999])
@pytest.mark.parametrize("kind", ["normal", "bfloat16", "sorted", "one-value", "periodic"])
def test_selection_equals_a_stable_sort(kind: str, keep: int) -> None:
    values = np.random.default_rng(1).standard_normal(200_000).astype(np.float32)
    if kind == "bfloat16":
        values = (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    elif kind == "sorted":
        values = np.sort(values)
    elif kind == "one-value":
        values = np.full(200_000, -0.5, dtype=np.float32)
    elif kind == "periodic":
        # Large only between the places where the sample looks: the bracket must miss.
        values[::2] = 0.0

    cut = magnitude_cut(values, keep)

    assert keep_mask(values, cut).tolist() == _sorted_way(values, keep)


def test_pieces_give_the_whole() -> None:
    values = np.array([1, 2, 2, 0, 2, 3, 2], dtype=np.float32)
    cut = magnitude_cut(values, 3)

    pieces = [keep_mask(values[start : start + 3], cut, start) for start in (0, 3, 6)]

    assert np.concatenate(pieces).tolist() == [False, True, True, False, False, True, False]


def test_everything_or_nothing_needs_no_search() -> None:
    values = np.array([1, 2], dtype=np.float32)

    assert magnitude_cut(values, 2) == Cut(-1, -1)
    assert keep_mask(values, magnitude_cut(values, 0)).tolist() == [False, False]


@pytest.mark.parametrize(
    ("count", "density", "kept"),
    [(100, 0.07, 7), (10, 0.1, 1), (3, 0.01, 1), (0, 0.5, 0), (7, 1.0, 7), (10, 0.25, 3)],
)
def test_kept_count_drops_the_floor(count: int, density: float, kept: int) -> None:
    assert kept_count(count, density) == kept
