"""Floats as integers in the order of their values, and the difference of two of them.

Works on raw words: NaN payloads, infinities and signed zeros come back bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[Any]
"""uint16 or uint32 words."""


def ordered(words: Words) -> Words:
    """Map float words to unsigned integers that grow with the value; a bijection.

    ``all ones - u`` when the sign bit is set, else ``u`` with the sign bit set.
    """
    signed = words.view(_signed(words))
    smear = (signed >> (_width(words) - 1)).view(words.dtype)
    mapped: Words = words ^ (smear | _top(words))
    return mapped


def unordered(numbers: Words) -> Words:
    """Undo ``ordered``."""
    signed = numbers.view(_signed(numbers))
    smear = ~(signed >> (_width(numbers) - 1)).view(numbers.dtype)
    mapped: Words = numbers ^ (smear | _top(numbers))
    return mapped


def zigzag_delta(base: Words, tuned: Words) -> Words:
    """Give the ordered difference, small for near values of either sign.

    ``2d`` for ``d >= 0``, else ``-2d - 1``, modulo the word size.
    """
    delta = (ordered(tuned) - ordered(base)).view(_signed(tuned))
    return ((delta << 1) ^ (delta >> (_width(tuned) - 1))).view(tuned.dtype)


def add_zigzag(base: Words, zigzag: Words) -> Words:
    """Undo ``zigzag_delta``: base words and difference to the fine-tuned words."""
    one = zigzag.dtype.type(1)
    delta = (zigzag >> one) ^ (np.zeros_like(zigzag) - (zigzag & one))
    return unordered(ordered(base) + delta)


def _width(words: Words) -> int:
    return 8 * words.dtype.itemsize


def _signed(words: Words) -> np.dtype[Any]:
    return np.dtype(f"i{words.dtype.itemsize}")


def _top(words: Words) -> Any:
    return words.dtype.type(1 << (_width(words) - 1))
