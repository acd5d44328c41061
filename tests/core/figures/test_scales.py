from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaworks.figures.numbers import bytes_text, percent_text
from deltaworks.figures.scales import log_range, log_ticks, share_range, share_ticks


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (999, "999 B"),
        (999.9, "1 kB"),
        (300_000, "300 kB"),
        (3_140_000, "3.14 MB"),
        (999_600, "1 MB"),
        (16_100_000_000, "16.1 GB"),
        (5e15, "5 PB"),
        (1e18, "1000 PB"),
    ],
)
def test_sizes_have_decimal_units_and_three_digits(size: float, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1.0, "100.0 %"),
        (0.99999, "99.9 %"),
        (0.982, "98.2 %"),
        (1.02, "102.0 %"),
        (-0.5, "-50.0 %"),
    ],
)
def test_loss_is_never_rounded_away(share: float, text: str) -> None:
    assert percent_text(share) == text


@given(st.lists(st.floats(1, 1e13), min_size=1, max_size=5), st.integers(2, 12))
def test_log_ticks_are_few_and_inside(values: list[float], at_most: int) -> None:
    low, high = log_range(values)

    ticks = log_ticks(low, high, at_most)

    assert low < min(values) <= max(values) < high
    assert 0 < len(ticks) <= at_most
    assert all(low <= tick <= high for tick in ticks)


@given(st.floats(1e3, 1e9), st.floats(1.0001, 1.5), st.integers(2, 12))
def test_zoomed_in_log_axis_still_has_ticks(low: float, factor: float, at_most: int) -> None:
    high = low * factor

    ticks = log_ticks(low, high, at_most)

    assert 1 <= len(ticks) <= at_most
    assert all(low * (1 - 1e-6) <= tick <= high * (1 + 1e-6) for tick in ticks)


def test_wide_range_has_ones_and_threes() -> None:
    ticks = log_ticks(9e4, 2e7, 6)

    assert ticks == pytest.approx([1e5, 3e5, 1e6, 3e6, 1e7])


@given(st.lists(st.floats(-20, 1.5), max_size=6), st.floats(0.01, 0.4))
def test_range_of_shares_shows_all_that_is_near(values: list[float], room: float) -> None:
    low, high = share_range(values, room)

    shown = [value for value in values if value >= -0.1]
    assert all(low < value for value in shown)
    assert high > max([1.0, *shown])
    assert 2 <= len(share_ticks(low, high, 8)) <= 8
