from __future__ import annotations

import numpy as np
import pytest

from deltaworks.numerics.halves import from_halves, to_halves, unit_for


@pytest.mark.parametrize("largest", [1e-30, 3e-6, 0.7, 1.0, 65536.0, 3e38])
def test_largest_value_has_full_precision(largest: float) -> None:
    values = np.array([largest, -largest / 1000, 0.0], dtype=np.float32)

    unit = unit_for(largest)
    back = from_halves(to_halves(values, unit), unit)

    assert np.abs(back - values).max() <= largest * 2.0**-11
    assert np.abs(back[1] / values[1] - 1) <= 2.0**-11


def test_unit_is_a_power_of_two() -> None:
    assert unit_for(1.0) == 2.0**-14
    assert unit_for(0.0) == 1.0


def test_subnormal_numbers_do_not_overflow() -> None:
    values = np.array([1e-45], dtype=np.float32)

    assert np.isfinite(to_halves(values, unit_for(1e-45))).all()
