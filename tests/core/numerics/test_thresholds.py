from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaworks.numerics import thresholds
from deltaworks.numerics.selection import Floats
from deltaworks.numerics.thresholds import (
    INFINITE,
    Threshold,
    find_thresholds,
    share_threshold,
)


class Given:
    """Numbers that are there, counted how often they are read."""

    def __init__(self, values: Floats) -> None:
        self.values, self.n_passes = values, 0

    def __len__(self) -> int:
        return len(self.values)

    def piece(self, span: slice) -> Floats:
        self.n_passes += span.start == 0
        return self.values[span].copy()

    def sample(self, step: int) -> Floats:
        return self.values[::step].copy()


def _kept(values: Floats, threshold: Threshold) -> np.ndarray:
    keys = values.view(np.int32) & 0x7FFFFFFF
    equal = np.flatnonzero(keys == threshold.key)[: threshold.n_equal]
    return np.sort(np.concatenate([np.flatnonzero(keys > threshold.key), equal]))


def _expected(values: Floats, keep: int) -> np.ndarray:
    return np.sort(np.argsort(-np.abs(values), kind="stable")[:keep])


def _drawn(count: int, seed: int, levels: int) -> Floats:
    """Heavy-tailed; few levels make many equal magnitudes, zeros among them."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(count) ** 3
    return (np.round(values * levels) / levels if levels else values).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3000),
    st.sampled_from([0, 1, 2, 50]),
    st.integers(0, 99),
    st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
def test_as_many_are_kept_as_asked_for(
    count: int, levels: int, seed: int, shares: list[float]
) -> None:
    values = _drawn(count, seed, levels)
    keeps = [int(share * count) for share in shares]

    found = find_thresholds(Given(values), keeps)

    for threshold, keep in zip(found.thresholds, keeps, strict=True):
        assert np.array_equal(_kept(values, threshold), _expected(values, keep))
    assert found.largest == int((values.view(np.int32) & 0x7FFFFFFF).max())


@pytest.mark.parametrize("levels", [0, 2])
def test_large_ones_take_one_pass(levels: int) -> None:
    values = _drawn(400_000, 1, levels)
    numbers = Given(values)

    (found,) = find_thresholds(numbers, [80_000]).thresholds

    assert np.array_equal(_kept(values, found), _expected(values, 80_000))
    assert numbers.n_passes == 1


@pytest.mark.parametrize("levels", [0, 2])
def test_a_sample_that_misleads_costs_two_more_passes(levels: int) -> None:
    values = _drawn(200_000, 2, levels)
    values[:: thresholds._step(len(values))] *= 1e-3
    numbers = Given(values)

    (found,) = find_thresholds(numbers, [60_000]).thresholds

    assert np.array_equal(_kept(values, found), _expected(values, 60_000))
    assert numbers.n_passes == 3


def test_equal_keys_are_held_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "_MOST_COLLECTED", 1000)
    values = _drawn(300_000, 3, 20)

    (found,) = find_thresholds(Given(values), [90_000]).thresholds

    assert np.array_equal(_kept(values, found), _expected(values, 90_000))


@pytest.mark.parametrize("levels", [0, 1, 3])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
def test_a_share_of_those_that_are_not_zero(levels: int, share: float) -> None:
    values = _drawn(150_000, 4, levels)
    keep = max(1, int(np.count_nonzero(values) * share))

    found = share_threshold(Given(values), share)

    assert np.array_equal(_kept(values, found), _expected(values, keep))


def test_nothing_but_zeros_keeps_nothing() -> None:
    values = np.zeros(10_000, dtype=np.float32)

    assert len(_kept(values, share_threshold(Given(values), 0.5))) == 0


def test_infinity_is_told() -> None:
    values = _drawn(1000, 5, 0)
    values[700] = -np.inf

    assert find_thresholds(Given(values), [10]).largest >= INFINITE
