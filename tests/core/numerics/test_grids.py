from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaworks.numerics.grids import Grids, fit_grids, from_codes, group_lengths, to_codes

WIDTHS = [2, 3, 4, 8, 16]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=60),
    st.sampled_from(WIDTHS),
    st.integers(1, 20),
)
def test_errors_are_at_most_half_a_step(values: list[float], bits: int, size: int) -> None:
    numbers = np.array(values, dtype=np.float32)
    lengths = group_lengths(np.array([len(numbers)]), size)
    grids = fit_grids(numbers, lengths, bits)

    codes = to_codes(numbers, lengths, grids, bits)
    decoded = from_codes(codes, lengths, grids)

    step = np.repeat(grids.scale.astype(np.float64), lengths)
    assert codes.max() < 1 << bits
    # Below the smallest step that float16 can tell, everything is zero.
    visible = np.maximum(step, 2.0**-14)
    assert (np.abs(decoded - numbers) <= 0.5 * visible * (1 + 1e-3)).all()
    assert (decoded[numbers == 0] == 0).all()


def test_eight_bits_come_back_within_a_255th_of_the_range() -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    lengths = group_lengths(np.array([1000]), 100)

    grids = fit_grids(values, lengths, 8)
    decoded = from_codes(to_codes(values, lengths, grids, 8), lengths, grids)

    groups, gaps = values.reshape(10, 100), np.abs(decoded - values).reshape(10, 100)
    assert (gaps.max(axis=1) <= np.ptp(groups, axis=1) / 255).all()


@pytest.mark.parametrize("values", [[0.0, 0.0], [3.0, 3.0], [-2.0, -2.0], [0.0, 5.0]])
def test_ends_of_the_range_are_met(values: list[float]) -> None:
    numbers = np.array(values, dtype=np.float32)
    lengths = np.array([2])

    grids = fit_grids(numbers, lengths, 2)

    decoded = from_codes(to_codes(numbers, lengths, grids, 2), lengths, grids)
    np.testing.assert_allclose(decoded, numbers, rtol=1e-3)


def test_runs_are_cut_into_groups_of_their_own() -> None:
    lengths = group_lengths(np.array([5, 0, 4, 9, 1], dtype=np.int32), 4)

    assert lengths.tolist() == [4, 1, 4, 4, 4, 1, 1]


def test_nothing_has_no_grids() -> None:
    grids = fit_grids(np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64), 3)

    assert isinstance(grids, Grids)
    assert len(grids.scale) == len(grids.zero) == 0
