from __future__ import annotations

import numpy as np
import pytest

from deltaworks.numerics.byte_coding import PIECE, DamagedError, expand, squeeze


def _coded(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    data = np.random.default_rng(0).integers(0, 4, count).astype(np.uint8)
    blob, offsets = squeeze(data)
    assert offsets is not None
    return data, blob.copy(), offsets


@pytest.mark.parametrize("count", [1000, PIECE, PIECE + 1, 2 * PIECE + 17])
def test_pieces_come_back(count: int) -> None:
    data, blob, offsets = _coded(count)

    assert len(offsets) == -(-count // PIECE) + 1
    assert np.array_equal(expand(blob, offsets, count), data)


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_noise_is_kept_raw(count: int) -> None:
    data = np.random.default_rng(0).integers(0, 256, count).astype(np.uint8)

    blob, offsets = squeeze(data)

    assert offsets is None
    assert np.array_equal(expand(blob, None, count), data)


def test_small_savings_are_not_worth_it() -> None:
    data = np.random.default_rng(0).integers(0, 256, 100_000).astype(np.uint8)
    data[:2000] = 0

    assert squeeze(data)[1] is None


def test_any_flipped_bit_is_noticed() -> None:
    data, blob, offsets = _coded(5000)

    for place in range(0, len(blob), 37):
        broken = blob.copy()
        broken[place] ^= 0x10
        try:
            again = expand(broken, offsets, len(data))
        except DamagedError:
            continue
        assert np.array_equal(again, data)


@pytest.mark.parametrize("fault", ["short", "count", "offsets", "order", "raw"])
def test_what_cannot_be_is_refused(fault: str) -> None:
    data, blob, offsets = _coded(PIECE + 10)
    count = len(data)
    if fault == "short":
        blob = blob[:-1]
    elif fault == "count":
        count -= 1
    elif fault == "offsets":
        offsets = offsets[:-1]
    elif fault == "order":
        offsets = offsets[[0, 0, 2]]

    with pytest.raises(DamagedError):
        expand(blob, None if fault == "raw" else offsets, count)
