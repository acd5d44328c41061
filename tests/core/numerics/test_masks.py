from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaworks.numerics import masks
from deltaworks.numerics.masks import bernoulli_mask, exact_mask, mask_check
from deltaworks.numerics.seeds import raw_words


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 400), st.floats(0.0, 1.0), st.integers(0, 9))
def test_exact_mask_keeps_the_smallest_words(count: int, share: float, seed: int) -> None:
    keep = int(share * count)

    mask = exact_mask(seed, "w", count, keep)

    order = np.argsort(raw_words(seed, "w", count), kind="stable")
    expected = np.zeros(count, dtype=bool)
    expected[order[:keep]] = True
    assert mask.tolist() == expected.tolist()


def test_exact_mask_is_exact_over_many_pieces() -> None:
    count, keep = 300_001, 30_011

    mask = exact_mask(4, "w", count, keep)

    words = raw_words(4, "w", count)
    assert np.count_nonzero(mask) == keep
    assert words[mask].max() < words[~mask].min()


def test_a_cut_far_from_where_it_is_expected_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = exact_mask(4, "w", 50_000, 5_000)
    looks: list[bool] = []

    def look(*arguments: Any) -> bool:
        looks.append(fill(*arguments))
        return looks[-1]

    fill = masks._fill
    monkeypatch.setattr(masks, "_fill", look)
    monkeypatch.setattr(masks, "_DEVIATIONS", 0)

    assert exact_mask(4, "w", 50_000, 5_000).tolist() == expected.tolist()
    assert looks[0] is False
    assert looks[-1] is True


@pytest.mark.parametrize("drop_rate", [0.0, 0.1, 0.9, 1.0])
def test_bernoulli_mask_follows_its_formula(drop_rate: float) -> None:
    mask = bernoulli_mask(2, "w", 200_000, drop_rate)

    words = raw_words(2, "w", 200_000)
    assert mask.tolist() == ((words >> np.uint64(11)) * 2.0**-53 >= drop_rate).tolist()


def test_checksum_notices_one_entry() -> None:
    mask = exact_mask(0, "w", 100, 10)
    other = mask.copy()
    other[50] = ~other[50]

    assert len(mask_check(mask)) == 8
    assert mask_check(mask).tolist() != mask_check(other).tolist()
