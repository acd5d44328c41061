from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deltaworks.numerics.words import (
    NUMPY_DTYPE,
    dtype_name,
    from_float,
    tensor_words,
    to_float32,
    torch_dtype,
    words_tensor,
)

DTYPES = sorted(NUMPY_DTYPE)
EVERY_16_BITS = np.arange(65536, dtype=np.uint16)
EVERY_8_BITS = np.arange(256, dtype=np.uint8)


@pytest.mark.parametrize("name", DTYPES)
def test_names_of_torch_dtypes_go_both_ways(name: str) -> None:
    assert dtype_name(torch_dtype(name)) == name
    assert torch_dtype(name).itemsize == NUMPY_DTYPE[name].itemsize


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("BF16", EVERY_16_BITS),
        ("F16", EVERY_16_BITS.view(np.float16)),
        ("F8_E4M3", EVERY_8_BITS),
        ("F8_E5M2", EVERY_8_BITS),
    ],
)
def test_every_small_float_has_the_value_torch_gives_it(name: str, words: Any) -> None:
    theirs = words_tensor(words, name).float().numpy()

    ours = to_float32(words, name)

    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", DTYPES)
@given(data=st.data())
def test_words_survive_a_trip_through_torch(name: str, data: st.DataObject) -> None:
    dtype = NUMPY_DTYPE[name]
    shape = tuple(data.draw(st.lists(st.integers(0, 5), max_size=3)))
    count = int(np.prod(shape)) * dtype.itemsize
    raw = data.draw(st.binary(min_size=count, max_size=count))
    if name == "BOOL":
        raw = bytes(byte & 1 for byte in raw)
    words = np.frombuffer(raw, dtype=dtype).reshape(shape)

    tensor = words_tensor(words, name)
    back = tensor_words(tensor)

    assert (tensor.dtype, tuple(tensor.shape)) == (torch_dtype(name), shape)
    assert (back.dtype, back.shape, back.tobytes()) == (dtype, shape, raw)


@pytest.mark.parametrize("writeable", [True, False])
def test_a_tensor_shares_the_memory_of_its_words(writeable: bool) -> None:
    words = np.arange(12, dtype=np.uint16).reshape(3, 4)
    words.flags.writeable = writeable

    tensor = words_tensor(words, "BF16")

    assert tensor.data_ptr() == words.ctypes.data


def test_read_only_words_outlive_their_name() -> None:
    tensor = words_tensor(np.frombuffer(bytes(range(200)) * 500, dtype=np.uint16), "U16")

    again = np.frombuffer(bytes(range(200)) * 500, dtype=np.uint16)

    assert np.array_equal(tensor_words(tensor), again)


def test_words_at_an_odd_address_are_copied() -> None:
    words = np.frombuffer(bytes(range(9)), dtype=np.uint16, offset=1)

    tensor = words_tensor(words, "U16")

    assert tensor.tolist() == words.tolist()
    assert tensor.data_ptr() % 2 == 0


def test_words_of_a_transposed_tensor_are_in_its_own_order() -> None:
    tensor = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3).T

    words = tensor_words(tensor)

    assert to_float32(words, "BF16").tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("wide", [np.float32, np.float64])
@given(bits=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50))
def test_numbers_round_to_bf16_as_torch_rounds_them(wide: Any, bits: list[int]) -> None:
    values = np.array(bits, np.uint32).view(np.float32)
    values = np.concatenate([values, np.array([0, -0.0, np.inf, -np.inf, np.nan, 3.4e38], "f4")])

    words = from_float(values.astype(wide), "BF16")

    theirs = torch.from_numpy(values).bfloat16().float().numpy()
    np.testing.assert_array_equal(to_float32(words, "BF16"), theirs)


def test_float64_is_rounded_to_bf16_once() -> None:
    # By way of float32 these land on the tie at 1 + 2**-8, and go the wrong way from there.
    above, below = 1 + 2**-8 + 2**-40, 1 + 2**-7 + 2**-8 - 2**-40

    words = from_float(np.array([above, -above, below]), "BF16")

    assert to_float32(words, "BF16").tolist() == [1 + 2**-7, -1 - 2**-7, 1 + 2**-7]


def test_beyond_the_largest_number_is_infinity() -> None:
    assert to_float32(from_float(np.array([1e300, -7e4]), "F16"), "F16").tolist() == [
        np.inf,
        -np.inf,
    ]
    assert to_float32(from_float(np.array([1e300]), "BF16"), "BF16").tolist() == [np.inf]


def test_words_do_not_need_torch() -> None:
    code = (
        "import sys, numpy as np\n"
        "from deltaworks.numerics.words import to_float32\n"
        "assert to_float32(np.array([0x3F80], np.uint16), 'BF16')[0] == 1.0\n"
        "assert 'torch' not in sys.modules"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
