"""Words split into planes of bytes that compress better apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[Any]


def split(words: Words) -> list[Bytes]:
    """Give the bytes of every word, one plane a byte, lowest first.

    Args:
        words: flat unsigned integers.
    """
    size = words.dtype.itemsize
    each = np.ascontiguousarray(words).astype(words.dtype.newbyteorder("<"), copy=False)
    table = each.view(np.uint8).reshape(len(words), size)
    return [np.ascontiguousarray(table[:, place]) for place in range(size)]


def join(planes: Sequence[Bytes], dtype: np.dtype[Any]) -> Words:
    """Undo ``split``."""
    table = np.empty((len(planes[0]), len(planes)), dtype=np.uint8)
    for place, plane in enumerate(planes):
        table[:, place] = plane
    little = table.reshape(-1).view(dtype.newbyteorder("<"))
    words: Words = little.astype(dtype, copy=False)
    return words


def rotate(words: Words) -> Words:
    """Move the sign to the lowest bit, so that the exponent fills the highest byte.

    True of bfloat16 and float32, whose exponents have eight bits.
    """
    one = words.dtype.type(1)
    rest = words.dtype.type(8 * words.dtype.itemsize - 1)
    rotated: Words = (words << one) | (words >> rest)
    return rotated


def rotate_back(words: Words) -> Words:
    """Undo ``rotate``."""
    one = words.dtype.type(1)
    rest = words.dtype.type(8 * words.dtype.itemsize - 1)
    rotated: Words = (words >> one) | (words << rest)
    return rotated
