from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from deltaworks.evaluation.intervals import RunningMean, wilson


@given(n=st.integers(1, 2000), share=st.floats(0, 1))
def test_wilson_is_that_of_scipy(n: int, share: float) -> None:
    right = round(n * share)

    low, high = wilson(right, n)

    theirs = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert low == pytest.approx(theirs.low, abs=1e-12)
    assert high == pytest.approx(theirs.high, abs=1e-12)


def test_nothing_measured_tells_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_interval_of_equal_groups_is_the_normal_one() -> None:
    groups = np.array([1.0, 2.0, 4.0, 5.0])
    mean = RunningMean()
    for value in groups:
        mean.add(10 * value, 10)

    low, high = mean.interval() or (0.0, 0.0)

    half = 1.959963984540054 * groups.std(ddof=1) / 2
    assert (low, high) == pytest.approx((3 - half, 3 + half))


def test_interval_covers_the_truth_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        mean = RunningMean()
        for value in rng.normal(1.0, 2.0, 60):
            mean.add(value, 1)
        low, high = mean.interval() or (0.0, 0.0)
        hits += low <= 1.0 <= high

    assert 0.91 <= hits / 400 <= 0.98


def test_one_group_has_no_interval() -> None:
    mean = RunningMean()
    mean.add(3.0, 2)

    assert mean.mean == 1.5
    assert mean.interval() is None
