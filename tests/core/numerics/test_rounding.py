from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deltaworks.numerics.rounding import Arithmetic, is_finite, narrow, widen
from deltaworks.numerics.words import NUMPY_DTYPE, tensor_words, torch_dtype

DTYPES = ["BF16", "F16", "F32", "F64"]
RNG = np.random.default_rng(3)
# Every exponent, ties among them: the low half is 0x8000 for every fourth number.
BITS = RNG.integers(0, 1 << 32, 40_000, dtype=np.uint32)
BITS[::4] = (BITS[::4] & 0xFFFF0000) | 0x8000
VALUES = BITS.view(np.float32)[np.isfinite(BITS.view(np.float32))]


@pytest.mark.parametrize("dtype", DTYPES)
def test_words_are_those_of_torch(dtype: str) -> None:
    words = np.empty(len(VALUES), dtype=NUMPY_DTYPE[dtype])

    narrow(VALUES, dtype, words)

    expected = tensor_words(torch.from_numpy(VALUES.copy()).to(torch_dtype(dtype)))
    assert np.array_equal(words.view(np.uint8), expected.view(np.uint8))


@pytest.mark.parametrize("dtype", [*DTYPES, "F8_E4M3", "F8_E5M2"])
def test_words_are_read_as_torch_reads_them(dtype: str) -> None:
    tensor = torch.from_numpy(VALUES[:5000].copy()).to(torch_dtype(dtype))
    out = np.empty(5000, dtype=np.float32)

    widen(tensor_words(tensor), dtype, out)

    assert np.array_equal(out, tensor.float().numpy(), equal_nan=True)


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_rounding_in_place_is_a_cast_there_and_back(dtype: str) -> None:
    small = VALUES[np.abs(VALUES) < 60_000]
    rounded = small.copy()

    Arithmetic("mergekit-0.1.5", dtype).round(rounded)

    expected = torch.from_numpy(small.copy()).to(torch_dtype(dtype)).float().numpy()
    assert np.array_equal(rounded.view(np.uint32), expected.view(np.uint32))


@given(st.floats(-1e4, 1e4), st.sampled_from(["BF16", "F16", "F32"]))
def test_numbers_round_as_tensors_made_of_them(value: float, dtype: str) -> None:
    expected = torch.tensor(value, dtype=torch_dtype(dtype)).float().item()

    assert Arithmetic("mergekit-0.1.5", dtype).number(value) == np.float32(expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -np.nan])
def test_what_is_not_finite_is_seen_anywhere(value: float) -> None:
    for place in (0, 17, 99):
        values = np.ones(100, dtype=np.float32)
        values[place] = value

        assert not is_finite(values)
    assert is_finite(np.empty(0, dtype=np.float32))
