"""How long a job still takes."""

from __future__ import annotations

import pytest

from deltaworks_gui.lanes.remaining import PastJobs, RemainingTime, RunningClock


def test_nothing_is_said_before_five_seconds_and_three_percent() -> None:
    remaining = RemainingTime()

    assert remaining.update(0.0, 0.0) is None
    assert remaining.update(4.0, 0.02) is None
    assert remaining.update(4.5, 0.03) == pytest.approx(4.5 * 0.97 / 0.03)


def test_the_rate_of_the_last_thirty_seconds_counts() -> None:
    remaining = RemainingTime()
    for second in range(101):
        remaining.update(float(second), second * 0.001)  # slow
    for second in range(101, 141):
        left = remaining.update(float(second), 0.1 + (second - 100) * 0.01)  # ten times faster

    assert left == pytest.approx(0.5 / 0.01, rel=0.02)


def test_past_jobs_correct_the_estimate_and_fade_to_the_end() -> None:
    remaining = RemainingTime(bias=2.0)
    remaining.update(0.0, 0.0)

    early = remaining.update(10.0, 0.1)
    late = remaining.update(20.0, 0.9)

    assert early == pytest.approx(90.0 * 1.9)
    assert late == pytest.approx(0.1 * 20 / 0.9 * 1.1)


def test_what_was_learned_is_bounded_and_kept_by_kind_and_lane() -> None:
    past = PastJobs()

    past.learn("sweep", "cpu", 10.0, 100.0)

    assert past.bias("sweep", "cpu") == 2.0
    assert past.bias("merge", "cpu") == 1.0
    assert PastJobs(past.as_json()).bias("sweep", "cpu") == 2.0


def test_a_clock_counts_running_time_only() -> None:
    clock = RunningClock(RemainingTime())

    clock.go(10.0)
    clock.halt(13.0)
    clock.go(100.0)

    assert clock.seconds(101.0) == 4.0
