from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaworks.numerics.byte_coding import DamagedError
from deltaworks.numerics.class_coding import (
    Coded,
    classes_of,
    decode_numbers,
    encode_numbers,
    frequencies,
)

U16, U32 = np.dtype("<u2"), np.dtype("<u4")


def _size(coded: Coded) -> int:
    return len(coded.tables) + len(coded.classes) + len(coded.low)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 2**32 - 1), max_size=60),
    st.sampled_from([U16, U32]),
    st.integers(1, 256),
)
def test_any_numbers_come_back(values: list[int], dtype: np.dtype, n_contexts: int) -> None:
    numbers = np.array(values, dtype=np.uint64).astype(dtype)
    contexts = (np.arange(len(values)) % n_contexts).astype(np.uint8)

    coded = encode_numbers(numbers, contexts)

    assert np.array_equal(decode_numbers(coded, contexts, dtype), numbers)


def test_all_16_bit_numbers_come_back() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.permutation(1 << 16).astype(U16)
    contexts = rng.integers(0, 256, 1 << 16).astype(np.uint8)

    coded = encode_numbers(numbers, contexts)

    assert np.array_equal(decode_numbers(coded, contexts, U16), numbers)


@pytest.mark.parametrize("value", [0, 1, 65535])
def test_one_number_over_and_over_costs_its_low_bits(value: int) -> None:
    numbers = np.full(5000, value, dtype=U16)
    contexts = np.zeros(5000, dtype=np.uint8)

    coded = encode_numbers(numbers, contexts)

    assert len(coded.classes) == 0
    assert len(coded.low) <= 5000 // 8
    assert np.array_equal(decode_numbers(coded, contexts, U16), numbers)


def test_size_is_the_entropy_by_context_and_tables() -> None:
    rng = np.random.default_rng(0)
    contexts = rng.integers(100, 108, 400_000).astype(np.uint8)
    numbers = np.floor(rng.exponential(2.0 ** (contexts - 100.0))).astype(U16)

    coded = encode_numbers(numbers, contexts)

    bits = 0.0
    for context in range(100, 108):
        counts = np.bincount(classes_of(numbers[contexts == context]))
        share = counts[counts > 0] / counts.sum()
        bits += -counts.sum() * (share * np.log2(share)).sum()
    assert 8 * len(coded.classes) <= bits + 0.002 * 400_000
    assert len(coded.tables) < 8 * 2 * 20
    pooled = encode_numbers(numbers, np.zeros_like(contexts))
    assert _size(coded) < 0.95 * _size(pooled)


def test_classes_are_whole_logarithms() -> None:
    numbers = np.array([0, 1, 2, 3, 6, 7, 65534, 65535, 2**31 - 1, 2**32 - 1], dtype=np.uint32)

    assert classes_of(numbers).tolist() == [0, 1, 1, 2, 2, 3, 15, 16, 31, 32]


def test_nothing_that_occurs_gets_no_share() -> None:
    found = frequencies(np.array([10**9, 0, 1, 1, 5]))

    assert found.sum() == 1 << 14
    assert (found > 0).tolist() == [True, False, True, True, True]


@pytest.mark.parametrize("name", ["tables", "classes", "low"])
def test_bytes_that_are_missing_or_too_many_are_refused(name: str) -> None:
    numbers = np.random.default_rng(0).integers(0, 4000, 9000).astype(U16)
    contexts = (np.arange(9000) % 7).astype(np.uint8)
    coded = encode_numbers(numbers, contexts)
    parts = {one: getattr(coded, one) for one in ("tables", "classes", "low")}

    for changed in (parts[name][:-1], parts[name][:0], np.append(parts[name], np.uint8(9))):
        with pytest.raises(DamagedError):
            decode_numbers(Coded(**(parts | {name: changed})), contexts, U16)


def test_a_table_that_does_not_add_up_is_refused() -> None:
    numbers = np.arange(100, dtype=U16)
    contexts = np.zeros(100, dtype=np.uint8)
    coded = encode_numbers(numbers, contexts)
    tables = coded.tables.copy()
    tables[1] ^= 1

    with pytest.raises(DamagedError, match="add up"):
        decode_numbers(Coded(tables, coded.classes, coded.low), contexts, U16)
