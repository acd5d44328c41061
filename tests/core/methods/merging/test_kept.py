from __future__ import annotations

import numpy as np
import pytest

from deltaworks.methods.merging.kept import Band, Chosen, Kept, Largest, l1_factor
from deltaworks.numerics.selection import magnitude_cut

RNG = np.random.default_rng(0)
# Quarters: many equal magnitudes at every cut.
VALUES = (RNG.integers(-9, 10, 1000) / 4).astype(np.float32)
EVERY = pytest.mark.parametrize(
    "kept",
    [
        Largest(magnitude_cut(VALUES, 333)),
        Band(magnitude_cut(VALUES, 500), magnitude_cut(VALUES, 77)),
        Chosen.of(RNG.random(1000) < 0.3),
    ],
    ids=["largest", "band", "chosen"],
)


def _whole(kept: Kept) -> np.ndarray:
    values = VALUES.copy()
    kept.zero(values, np.empty(1000, dtype=np.int32), 0)
    return values


@EVERY
@pytest.mark.parametrize("size", [1, 7, 8, 125, 999])
def test_pieces_keep_what_the_whole_keeps(kept: Kept, size: int) -> None:
    values = VALUES.copy()
    scratch = np.empty(size, dtype=np.int32)

    for start in range(0, 1000, size):
        kept.zero(values[start : start + size], scratch, start)

    assert np.array_equal(values, _whole(kept))


@EVERY
def test_what_is_kept_is_unchanged(kept: Kept) -> None:
    values = _whole(kept)

    assert 0 < np.count_nonzero(values) < np.count_nonzero(VALUES)
    assert np.array_equal(values[values != 0], VALUES[values != 0])


def test_a_band_is_the_difference_of_its_cuts() -> None:
    above, without = magnitude_cut(VALUES, 500), magnitude_cut(VALUES, 77)

    found = _whole(Band(above, without))

    assert np.array_equal(found, _whole(Largest(above)) - _whole(Largest(without)))


@EVERY
def test_the_factor_restores_the_sum_of_magnitudes(kept: Kept) -> None:
    assert l1_factor(VALUES, kept) * np.abs(_whole(kept)).sum() == pytest.approx(
        float(np.abs(VALUES).sum()), rel=1e-6
    )


def test_nothing_left_is_not_scaled() -> None:
    assert l1_factor(VALUES, Chosen.of(np.zeros(1000, dtype=np.bool_))) == 1.0
