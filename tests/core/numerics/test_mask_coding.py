from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaworks.numerics.byte_coding import DamagedError
from deltaworks.numerics.mask_coding import decode_mask, encode_mask, entropy, from_leb128, leb128


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000), st.floats(0.0, 1.0), st.integers(0, 99))
def test_masks_come_back(count: int, density: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random(count) < density

    assert decode_mask(encode_mask(mask), count).tolist() == mask.tolist()


@pytest.mark.parametrize(
    ("density", "name"), [(0.5, "mask"), (0.1, "gaps"), (0.005, "gaps"), (0.0, "gaps")]
)
def test_the_smallest_form_is_taken_and_is_near_the_entropy(density: float, name: str) -> None:
    mask = np.random.default_rng(0).random(400_000) < density

    parts = encode_mask(mask)

    stored = 8 * sum(part.nbytes for part in parts.values())
    assert name in parts
    assert stored <= 1.2 * entropy(density) * len(mask) + 1000


def test_clustered_masks_are_smaller_than_random_ones() -> None:
    mask = np.zeros(100_000, dtype=bool)
    mask[:30_000] = True

    assert sum(part.nbytes for part in encode_mask(mask).values()) < 200


def test_leb128_is_the_known_one() -> None:
    assert leb128(np.array([0, 127, 128, 624485])).tolist() == [0, 127, 128, 1, 0xE5, 0x8E, 0x26]


@given(st.lists(st.integers(0, 2**35 - 1), max_size=50))
def test_leb128_round_trip(numbers: list[int]) -> None:
    assert from_leb128(leb128(np.array(numbers, dtype=np.int64))).tolist() == numbers


@pytest.mark.parametrize("data", [[128], [1, 128], [128, 128, 128, 128, 128, 1]])
def test_broken_leb128_is_refused(data: list[int]) -> None:
    with pytest.raises(DamagedError):
        from_leb128(np.array(data, dtype=np.uint8))


def test_parts_that_cannot_be_are_refused() -> None:
    far = np.zeros(1000, dtype=bool)
    far[999] = True
    parts = encode_mask(far)

    with pytest.raises(DamagedError, match="keeps entry 999 of 500"):
        decode_mask(parts, 500)
    with pytest.raises(DamagedError, match="neither"):
        decode_mask({}, 10)


@pytest.mark.parametrize(("density", "bits"), [(0.5, 1.0), (0.1, 0.469), (0.01, 0.0808), (0, 0)])
def test_entropy(density: float, bits: float) -> None:
    assert entropy(density) == pytest.approx(bits, abs=5e-4)
