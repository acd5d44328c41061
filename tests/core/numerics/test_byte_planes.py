from __future__ import annotations

import numpy as np
import pytest

from deltaworks.numerics.byte_planes import join, rotate, rotate_back, split


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_planes_come_back_together(dtype: type) -> None:
    drawn = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, 1000)
    words = drawn.astype(np.dtype(dtype))

    assert np.array_equal(join(split(words), np.dtype(dtype)), words)
    assert np.array_equal(rotate_back(rotate(words)), words)


def test_lowest_byte_is_the_first_plane() -> None:
    low, high = split(np.array([0x1234], dtype=np.uint16))

    assert (low[0], high[0]) == (0x34, 0x12)


def test_rotated_bfloat16_has_its_exponent_on_top() -> None:
    word = np.array([0xBF80], dtype=np.uint16)  # -1: exponent 127

    assert rotate(word)[0] >> 8 == 127


def test_nothing_splits_into_nothing() -> None:
    planes = split(np.zeros(0, dtype=np.uint32))

    assert [len(plane) for plane in planes] == [0, 0, 0, 0]
    assert len(join(planes, np.dtype(np.uint32))) == 0
