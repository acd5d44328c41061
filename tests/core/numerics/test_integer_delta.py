from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaworks.numerics.integer_delta import add_zigzag, ordered, unordered, zigzag_delta

ALL16 = np.arange(1 << 16, dtype=np.uint16)


def test_order_is_a_bijection_on_all_16_bit_words() -> None:
    assert len(np.unique(ordered(ALL16))) == 1 << 16
    assert np.array_equal(unordered(ordered(ALL16)), ALL16)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_order_grows_with_the_value(kind: str) -> None:
    exponent = 0x7C00 if kind == "float16" else 0x7F80
    finite = ALL16[(ALL16 & exponent) != exponent]
    if kind == "float16":
        values = finite.view(np.float16).astype(np.float64)
    else:
        values = (finite.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    by_value = np.lexsort((ordered(finite), values))

    numbers = ordered(finite)[by_value]

    assert (np.diff(numbers.astype(np.int64)) > 0).all()


def test_order_of_32_bit_words_grows_with_the_value() -> None:
    values = np.array([-np.inf, -3e38, -1, -1e-45, 0, 1e-45, 0.5, 3e38, np.inf], dtype=np.float32)

    numbers = ordered(values.view(np.uint32))

    assert (np.diff(numbers.astype(np.int64)) > 0).all()
    assert np.array_equal(unordered(numbers), values.view(np.uint32))


@pytest.mark.parametrize("base", [0x0000, 0x8000, 0x3F80, 0xFF80, 0x7FFF])
def test_every_16_bit_word_comes_back_from_any_base(base: int) -> None:
    bases = np.full_like(ALL16, base)

    assert np.array_equal(add_zigzag(bases, zigzag_delta(bases, ALL16)), ALL16)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_32_bit_words_come_back(base: int, tuned: int) -> None:
    one, two = np.array([base], dtype=np.uint32), np.array([tuned], dtype=np.uint32)

    assert add_zigzag(one, zigzag_delta(one, two))[0] == tuned


def test_neighbours_have_small_codes() -> None:
    values = np.array([1.0, 1.0, 1.0], dtype=np.float32).view(np.uint32)
    near = values + np.array([0, 1, -1], dtype=np.int32).view(np.uint32)

    assert zigzag_delta(values, near).tolist() == [0, 2, 1]
