from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaworks.numerics.packing import pack, packed_width, unpack


def test_lowest_bit_comes_first_and_rows_are_padded() -> None:
    packed = pack(np.array([[1, 2, 3, 0, 1], [3, 3, 3, 3, 3]]), 2)

    assert packed.tolist() == [[0b00111001, 0b01], [0xFF, 0b11]]


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 16), st.integers(0, 5), st.integers(0, 40), st.integers(0, 2**31))
def test_round_trip_at_every_width(bits: int, rows: int, count: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 1 << bits, (rows, count))

    packed = pack(codes, bits)

    assert packed.shape == (rows, packed_width(count, bits))
    assert unpack(packed, bits, count).tolist() == codes.tolist()


@pytest.mark.parametrize("bits", [1, 3, 4])
def test_many_rows_go_through_in_pieces(bits: int) -> None:
    codes = np.random.default_rng(0).integers(0, 1 << bits, (700, 501))

    assert np.array_equal(unpack(pack(codes, bits), bits, 501), codes)


def test_padding_is_zero() -> None:
    assert pack(np.array([[True, True, True]]), 1).tolist() == [[0b111]]
