"""The entropy coder: within a hundredth of a bit of what is possible, and exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaworks.numerics import context_coding
from deltaworks.numerics.byte_coding import DamagedError
from deltaworks.numerics.context_coding import (
    Table,
    count_classes,
    decode_numbers,
    encode_numbers,
    fit_tables,
    read_tables,
    write_tables,
)


def coded(numbers: np.ndarray, contexts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tables and blob as they are stored."""
    tables = fit_tables(count_classes(np.abs(numbers), contexts))
    return write_tables(tables), encode_numbers(numbers, contexts, tables)


def read(side: np.ndarray, blob: np.ndarray, contexts: np.ndarray) -> np.ndarray:
    tables, more = read_tables(side)
    assert len(more) == 0
    return decode_numbers(blob, contexts, tables)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(-70, 70), st.integers(0, 31)), max_size=80))
def test_numbers_of_any_size_come_back(pairs: list[tuple[int, int]]) -> None:
    numbers = np.array([number for number, _ in pairs], dtype=np.int32)
    contexts = np.array([context for _, context in pairs], dtype=np.uint8)

    side, blob = coded(numbers, contexts)

    assert np.array_equal(read(side, blob, contexts), numbers)


def test_size_is_within_a_hundredth_of_a_bit_of_entropy() -> None:
    rng = np.random.default_rng(0)
    contexts = rng.integers(4, 9, 200_000).astype(np.uint8)
    numbers = np.rint(rng.laplace(0, 0.5 * 2.0 ** (contexts / 2.0 - 3))).astype(np.int32)

    side, blob = coded(numbers, contexts)

    bits = 0.0
    for context in range(4, 9):
        mine = np.abs(numbers[contexts == context])
        counts = np.bincount(mine).astype(float)
        used = counts[counts > 0]
        bits += float(used @ np.log2(len(mine) / used)) + np.count_nonzero(mine)
    assert 8 * (len(blob) + len(side)) <= bits + 0.01 * len(numbers)


def test_many_equal_numbers_cost_next_to_nothing() -> None:
    numbers, contexts = np.zeros(100_000, dtype=np.int32), np.zeros(100_000, dtype=np.uint8)

    side, blob = coded(numbers, contexts)

    assert len(side) + len(blob) < 20
    assert not read(side, blob, contexts).any()


def test_several_pieces_come_back_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_coding, "PIECE", 1000)
    rng = np.random.default_rng(1)
    numbers = rng.integers(-3, 4, 4321).astype(np.int32)
    contexts = rng.integers(0, 3, 4321).astype(np.uint8)

    side, blob = coded(numbers, contexts)

    assert np.array_equal(read(side, blob, contexts), numbers)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=32))
def test_tables_are_read_as_they_were_written(counts: list[int]) -> None:
    found = np.zeros((32, 32), dtype=np.int64)
    found[7, : len(counts)] = counts
    tables = fit_tables(found)

    again, more = read_tables(write_tables(tables))

    assert len(more) == 0
    assert len(again) == len(tables)
    for one, other in zip(again, tables, strict=True):
        assert np.array_equal(one.frequencies, other.frequencies)
        assert int(one.frequencies.sum()) == 1 << 16
        assert one.frequencies.min() > 0


def test_contexts_that_do_not_pay_share_a_table() -> None:
    counts = np.zeros((32, 32), dtype=np.int64)
    counts[3, :2] = (10, 3)
    counts[4, :2] = (11, 3)
    counts[9, :2] = (100, 90_000)

    tables = fit_tables(counts)

    assert [(table.first, table.last) for table in tables] == [(3, 4), (9, 9)]


def test_cut_and_changed_bytes_are_refused() -> None:
    rng = np.random.default_rng(2)
    numbers = rng.integers(-40, 41, 500).astype(np.int32)
    contexts = rng.integers(0, 2, 500).astype(np.uint8)
    side, blob = coded(numbers, contexts)
    tables, _ = read_tables(side)

    for end in (0, 4, 9, len(blob) // 2, len(blob) - 1):
        with pytest.raises(DamagedError):
            decode_numbers(blob[:end], contexts, tables)
    with pytest.raises(DamagedError):
        decode_numbers(np.append(blob, np.uint8(0)), contexts, tables)
    for end in range(len(side)):
        with pytest.raises(DamagedError):
            _all_read(side[:end])


def _all_read(side: np.ndarray) -> list[Table]:
    tables, more = read_tables(side)
    if len(more):
        raise DamagedError("more")
    return tables
