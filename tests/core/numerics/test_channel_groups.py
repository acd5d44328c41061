"""Grouping a few points in many rows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaworks.numerics.channel_groups import (
    group_rows,
    label_bits,
    pack_labels,
    partitions,
    unpack_labels,
)


def _points(count: int, rows: int, cols: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((count, rows, cols)).astype(np.float32)


def _error(points: Any, labels: Any) -> float:
    return sum(
        float(np.square(points[labels == g] - points[labels == g].mean(0)).sum())
        for g in set(labels.tolist())
    )


def test_partitions_are_all_and_counted_by_bell() -> None:
    assert [len(partitions(n, n)) for n in range(1, 7)] == [1, 2, 5, 15, 52, 203]
    assert partitions(3, 2) == ((0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1))
    assert len(partitions(4, 2)) == 8


@pytest.mark.parametrize(("count", "groups"), [(3, 2), (4, 2), (5, 3), (6, 4)])
def test_few_points_get_the_best_partition(count: int, groups: int) -> None:
    points = _points(count, 20, 7)

    labels = group_rows(points, groups, cosine=False)

    for row in range(20):
        best = min(
            _error(points[:, row].astype(np.float64), np.array(one))
            for one in partitions(count, groups)
        )
        assert _error(points[:, row].astype(np.float64), labels[row]) == pytest.approx(best)


def test_only_directions_count_for_cosine() -> None:
    points = np.array([[[1.0, 0.0]], [[9.0, 1.0]], [[0.0, 1.0]]], dtype=np.float32)

    assert group_rows(points, 2, cosine=True).tolist() == [[0, 0, 1]]
    assert group_rows(points, 2, cosine=False).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("count", [3, 5, 8, 12])
def test_twins_always_share_a_group(count: int) -> None:
    points = _points(count, 50, 6)
    points[2] = points[0]

    for groups in range(1, count + 1):
        for cosine in (True, False):
            labels = group_rows(points, groups, cosine=cosine)
            assert (labels[:, 0] == labels[:, 2]).all()
            assert labels.max() < groups


def test_as_many_groups_as_points_keep_them_apart() -> None:
    labels = group_rows(_points(4, 9, 5), 4)

    assert (labels == np.arange(4)).all()


def test_rows_without_length_are_one_group() -> None:
    labels = group_rows(np.zeros((4, 3, 5), dtype=np.float32), 2)

    assert (labels == 0).all()


def test_k_means_finds_groups_that_lie_apart() -> None:
    centres = 10 * _points(3, 30, 8, seed=1)
    whose = [0, 1, 2, 0, 1, 2, 0, 1]
    points = np.stack([centres[g] for g in whose]) + 0.1 * _points(8, 30, 8, seed=2)

    labels = group_rows(points, 3, cosine=False)

    for row in labels:
        same = {(a, b): row[a] == row[b] for a in range(8) for b in range(8)}
        assert all(equal == (whose[a] == whose[b]) for (a, b), equal in same.items())


def test_k_means_is_as_repeatable_and_no_worse_than_one_group() -> None:
    points = _points(9, 40, 5)

    one, two = group_rows(points, 3, cosine=False), group_rows(points, 3, cosine=False)

    assert np.array_equal(one, two)
    errors = [
        sum(
            _error(points[:, r].astype(np.float64), group_rows(points, k, cosine=False)[r])
            for r in range(40)
        )
        for k in (1, 3, 6)
    ]
    assert all(more > less for more, less in pairwise(errors))


@given(
    rows=st.integers(1, 40),
    count=st.integers(1, 17),
    groups=st.integers(1, 17),
    seed=st.integers(0),
)
def test_labels_come_back(rows: int, count: int, groups: int, seed: int) -> None:
    bits = label_bits(groups)
    labels = np.random.default_rng(seed).integers(0, groups, (rows, count)).astype(np.uint8)

    packed = pack_labels(labels, bits)

    assert len(packed) == -(-rows * count * bits // 8)
    assert np.array_equal(unpack_labels(packed, rows, count, bits), labels)


def test_bits_of_a_label() -> None:
    assert [label_bits(groups) for groups in (1, 2, 3, 4, 5, 8, 9)] == [0, 1, 2, 2, 3, 3, 4]
