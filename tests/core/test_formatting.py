from __future__ import annotations

import subprocess
import sys

import pytest

from deltaworks import formatting

DAY_NS = 86_400 * 10**9
NOW_NS = 20_000 * DAY_NS


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (3_100_000, "3.1 MB"),
        (3_275_208, "3.28 MB"),
        (48_030_000, "48 MB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (12_400_000_000, "12.4 GB"),
        (210_000_000_000, "210 GB"),
        (5_000_000_000_000_000_000, "5000 PB"),
        (-1_500, "-1.5 kB"),
        (None, "—"),
    ],
)
def test_sizes_are_decimal_with_three_digits(n_bytes: int | None, text: str) -> None:
    assert formatting.size(n_bytes) == text


def test_exact_sizes_keep_every_byte() -> None:
    assert formatting.exact_size(3_104_512) == "3,104,512 bytes"
    assert formatting.exact_size(1) == "1 byte"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (960, "960"),
        (1_635_040, "1.64 M"),
        (1_240_000_000, "1.24 B"),
        (7e12, "7 T"),
        (None, "—"),
    ],
)
def test_counts_say_how_many_thousands(number: float | None, text: str) -> None:
    assert formatting.count(number) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.0312, "0.0312"),
        (0.00001234, "0.0000123"),
        (9.999, "10"),
        (99.96, "100"),
        (1234.5, "1234"),
        (-0.5, "-0.5"),
        (float("nan"), "—"),
        (float("inf"), "—"),
    ],
)
def test_significant_digits_without_exponent(value: float, text: str) -> None:
    assert formatting.significant(value) == text


def test_shares_and_ratios() -> None:
    assert formatting.percent(0.981) == "98.1 %"
    assert formatting.percent(1.0) == "100 %"
    assert formatting.percent(None) == "—"
    assert formatting.ratio(15.48) == "15.5×"


def test_the_decimal_point_is_the_locales() -> None:
    assert formatting.size(3_140_000, point=",") == "3,14 MB"
    assert formatting.count(1_240_000_000, point=",") == "1,24 B"
    assert formatting.duration(2.5, point=",") == "2,5 s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "12 ms"),
        (0.82, "820 ms"),
        (2.5, "2.5 s"),
        (9.97, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (250, "4 min 10 s"),
        (3599.6, "1 h"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
        (None, "—"),
    ],
)
def test_durations_show_their_two_largest_units(seconds: float | None, text: str) -> None:
    assert formatting.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "a few seconds"),
        (38, "about 40 s"),
        (55, "about 1 min"),
        (250, "about 4 min"),
        (7000, "about 2 h"),
        (200_000, "about 2 d"),
        (None, "—"),
    ],
)
def test_remaining_time_is_rounded(seconds: float | None, text: str) -> None:
    assert formatting.remaining(seconds) == text


@pytest.mark.parametrize(
    ("days", "text"),
    [
        (0, "just now"),
        (3 / 24, "3 h ago"),
        (1, "yesterday"),
        (5, "5 days ago"),
        (21, "3 weeks ago"),
    ],
)
def test_dates_are_told_from_now(days: float, text: str) -> None:
    assert formatting.relative_date(int(NOW_NS - days * DAY_NS), now_ns=NOW_NS) == text


def test_old_and_future_dates_are_written_out() -> None:
    assert formatting.relative_date(NOW_NS - 400 * DAY_NS, now_ns=NOW_NS).count("-") == 2
    assert formatting.relative_date(NOW_NS + 2 * DAY_NS, now_ns=NOW_NS).count("-") == 2
    assert formatting.relative_date(None, now_ns=NOW_NS) == "—"


def test_it_needs_neither_torch_nor_qt() -> None:
    code = "import sys, deltaworks.formatting as f; print({'torch', 'PySide6'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
