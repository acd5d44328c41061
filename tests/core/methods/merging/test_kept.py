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


def test_a_band_is_the_difference_of_its_thresholds() -> None:
    found = _whole(Band(MOST, FEW))

    assert np.array_equal(found, _whole(Largest(MOST)) - _whole(Largest(FEW)))


@EVERY
def test_the_factor_restores_the_sum_of_magnitudes(kept: Kept) -> None:
    assert l1_factor(DELTA, kept) * np.abs(_whole(kept)).sum() == pytest.approx(
        float(np.abs(VALUES).sum()), rel=1e-6
    )


def test_nothing_left_is_not_scaled() -> None:
    assert l1_factor(DELTA, Chosen.of(np.zeros(1000, dtype=np.bool_))) == 1.0
