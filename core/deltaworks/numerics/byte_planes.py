"""Words split into planes of bytes that compress better apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.chunks import spans

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[Any]

_PIECE = 1 << 16
_EIGHT = np.uint8(8)


def split(words: Words) -> list[Bytes]:
    """Give the bytes of every word, one plane a byte, lowest first.

    Args:
        words: flat unsigned integers.
    """
    planes = [np.empty(len(words), dtype=np.uint8) for _ in range(words.dtype.itemsize)]
    split_into(words, planes)
    return planes


def split_into(words: Words, planes: Sequence[Bytes]) -> None:
    """Write the bytes of every word to its planes, as long as the words."""
    for span in spans(len(words), _PIECE):
        rest = words[span]
        for place, plane in enumerate(planes):
            # Narrowing keeps the lowest byte; strides would be several times slower.
            np.copyto(plane[span], rest, casting="unsafe")
            if place + 1 < len(planes):
                rest = rest >> _EIGHT


def plane_into(words: Words, place: int, plane: Bytes) -> None:
    """Write the bytes of one place of every word."""
    np.copyto(plane, words >> np.uint8(8 * place), casting="unsafe")


def join(planes: Sequence[Bytes], dtype: np.dtype[Any]) -> Words:
    """Undo ``split``."""
    words: Words = np.empty(len(planes[0]), dtype=dtype)
    join_into(planes, words)
    return words


def join_into(planes: Sequence[Bytes], words: Words) -> None:
    """Undo ``split_into``."""
    for span in spans(len(words), _PIECE):
        piece = words[span]
        np.copyto(piece, planes[-1][span])
        for plane in reversed(planes[:-1]):
            np.left_shift(piece, _EIGHT, out=piece)
            np.bitwise_or(piece, plane[span], out=piece)


def rotate(words: Words, out: Words | None = None) -> Words:
    """Move the sign to the lowest bit, so that the exponent fills the highest byte.

    True of bfloat16 and float32, whose exponents have eight bits.

    Args:
        words: flat.
        out: where to write; a new array otherwise.
    """
    return _rotated(words, 1, out)


def rotate_back(words: Words, out: Words | None = None) -> Words:
    """Undo ``rotate``."""
    return _rotated(words, 8 * words.dtype.itemsize - 1, out)


def _rotated(words: Words, places: int, out: Words | None) -> Words:
    """Move bits up; those that leave at the top come in at the bottom."""
    up = words.dtype.type(places)
    down = words.dtype.type(8 * words.dtype.itemsize - places)
    turned = np.empty_like(words) if out is None else out
    for span in spans(len(words), _PIECE):
        np.left_shift(words[span], up, out=turned[span])
        np.bitwise_or(turned[span], words[span] >> down, out=turned[span])
    return turned
