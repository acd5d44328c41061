"""Floats as integers in the order of their values, and the difference of two of them.

Works on raw words: NaN payloads, infinities and signed zeros come back bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.chunks import spans

Words = npt.NDArray[Any]
"""uint16 or uint32 words."""

_PIECE = 1 << 16
"""Words that stay in the cache while several operations run over them."""


def ordered(words: Words) -> Words:
    """Map float words to unsigned integers that grow with the value; a bijection.

    ``all ones - u`` when the sign bit is set, else ``u`` with the sign bit set.
    """
    mapped = np.empty_like(words)
    _order(words, mapped)
    return mapped


def unordered(numbers: Words) -> Words:
    """Undo ``ordered``."""
    mapped = numbers.copy()
    _unorder(mapped, np.empty_like(numbers))
    return mapped


def zigzag_delta(base: Words, tuned: Words, out: Words | None = None) -> Words:
    """Give the ordered difference, small for near values of either sign.

    ``2d`` for ``d >= 0``, else ``-2d - 1``, modulo the word size.

    Args:
        base: flat.
        tuned: flat, as many.
        out: where to write; a new array otherwise.
    """
    coded = np.empty_like(tuned) if out is None else out
    buffer = np.empty(min(len(tuned), _PIECE), dtype=tuned.dtype)
    for span in spans(len(tuned), _PIECE):
        piece, other = coded[span], buffer[: span.stop - span.start]
        _order(tuned[span], piece)
        _order(base[span], other)
        np.subtract(piece, other, out=piece)
        delta, smear = piece.view(_signed(tuned)), other.view(_signed(tuned))
        np.right_shift(delta, _width(tuned) - 1, out=smear)
        np.left_shift(delta, 1, out=delta)
        np.bitwise_xor(delta, smear, out=delta)
    return coded


def add_zigzag(base: Words, zigzag: Words, out: Words | None = None) -> Words:
    """Undo ``zigzag_delta``: base words and difference to the fine-tuned words."""
    tuned = np.empty_like(zigzag) if out is None else out
    one = zigzag.dtype.type(1)
    buffer = np.empty(min(len(zigzag), _PIECE), dtype=zigzag.dtype)
    for span in spans(len(zigzag), _PIECE):
        piece, other = tuned[span], buffer[: span.stop - span.start]
        np.bitwise_and(zigzag[span], one, out=other)
        np.negative(other, out=other)
        np.right_shift(zigzag[span], one, out=piece)
        np.bitwise_xor(piece, other, out=piece)
        _order(base[span], other)
        np.add(piece, other, out=piece)
        _unorder(piece, other)
    return tuned


def _order(words: Words, out: Words) -> None:
    """Write the numbers of ``ordered``."""
    signed = words.view(_signed(words))
    np.right_shift(signed, _width(words) - 1, out=out.view(_signed(words)))
    np.bitwise_or(out, _top(words), out=out)
    np.bitwise_xor(out, words, out=out)


def _unorder(numbers: Words, scratch: Words) -> None:
    """Undo ``_order`` in place."""
    signed = numbers.view(_signed(numbers))
    np.right_shift(signed, _width(numbers) - 1, out=scratch.view(_signed(numbers)))
    np.bitwise_not(scratch, out=scratch)
    np.bitwise_or(scratch, _top(numbers), out=scratch)
    np.bitwise_xor(numbers, scratch, out=numbers)


def _width(words: Words) -> int:
    return 8 * words.dtype.itemsize


def _signed(words: Words) -> np.dtype[Any]:
    return np.dtype(f"i{words.dtype.itemsize}")


def _top(words: Words) -> Any:
    return words.dtype.type(1 << (_width(words) - 1))
