from __future__ import annotations

import numpy as np
import pytest

from deltaworks.methods.merging.kept import Band, Chosen, Kept, Largest
from deltaworks.methods.merging.pieces import Delta
from deltaworks.methods.merging.task_vectors import l1_factor
from deltaworks.numerics.rounding import FLOAT32
from deltaworks.numerics.stored import Stored
from deltaworks.numerics.thresholds import find_thresholds

RNG = np.random.default_rng(0)
# Quarters: many equal magnitudes at every threshold.
VALUES = (RNG.integers(-9, 10, 1000) / 4).astype(np.float32)
DELTA = Delta(None, Stored(VALUES, "F32"), FLOAT32, np.empty((2, 1 << 15), dtype=np.float32))
MOST, SOME, FEW = find_thresholds(DELTA, [500, 333, 77]).thresholds
EVERY = pytest.mark.parametrize(
    "kept",
    [Largest(SOME), Band(MOST, FEW), Chosen.of(RNG.random(1000) < 0.3)],
    ids=["largest", "band", "chosen"],
)


def _whole(kept: Kept) -> np.ndarray:
    values = VALUES.copy()
    kept.zeroing()(values, np.empty(1000, dtype=np.int32))
    return values


@EVERY
@pytest.mark.parametrize("size", [1, 7, 8, 125, 999])
def test_pieces_keep_what_the_whole_keeps(kept: Kept, size: int) -> None:
    values = VALUES.copy()
    scratch, zero = np.empty(size, dtype=np.int32), kept.zeroing()

    for start in range(0, 1000, size):
        zero(values[start : start + size], scratch)

    assert np.array_equal(values, _whole(kept))


@EVERY
def test_what_is_kept_is_unchanged(kept: Kept) -> None:
    values = _whole(kept)

    assert 0 < np.count_nonzero(values) < np.count_nonzero(VALUES)
    assert np.array_equal(values[values != 0], VALUES[values != 0])


def test_as_many_are_kept_as_asked_for_the_first_of_equals() -> None:
    order = np.argsort(-np.abs(VALUES), kind="stable")[:333]

    assert np.array_equal(np.flatnonzero(_whole(Largest(SOME))), np.sort(order))


def test_a_band_is_cut_from_a_stable_ascending_order() -> None:
    order = np.argsort(np.abs(VALUES), kind="stable")[1000 - 500 : 1000 - 77]

    found = np.flatnonzero(_whole(Band(MOST, FEW)))

    assert np.array_equal(found, np.sort(order))


@pytest.mark.parametrize(
    ("most", "least"), [(500, 0), (77, 77), (1000, 30), (1000, 1000), (60, 50)]
)
def test_the_ends_of_a_band_may_be_anywhere(most: int, least: int) -> None:
    values = np.where(VALUES == 0, np.float32(5.0), VALUES)
    delta = Delta(None, Stored(values, "F32"), FLOAT32, np.empty((2, 1 << 15), dtype=np.float32))
    order = np.argsort(np.abs(values), kind="stable")[1000 - most : 1000 - least]
    left = values.copy()

    Band(*find_thresholds(delta, [most, least]).thresholds).zeroing()(
        left, np.empty(1000, dtype=np.int32)
    )

    assert np.array_equal(np.flatnonzero(left), np.sort(order))


@EVERY
def test_the_factor_restores_the_sum_of_magnitudes(kept: Kept) -> None:
    assert l1_factor(DELTA, kept) * np.abs(_whole(kept)).sum() == pytest.approx(
        float(np.abs(VALUES).sum()), rel=1e-6
    )


def test_nothing_left_is_not_scaled() -> None:
    assert l1_factor(DELTA, Chosen.of(np.zeros(1000, dtype=np.bool_))) == 1.0
