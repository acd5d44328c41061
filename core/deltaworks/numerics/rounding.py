"""Between stored words and float32 numbers, in buffers that stay in the cache.

Everything here works in place or into a given array. Rounding is to nearest, ties to even.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.words import from_float, to_float32

Floats = npt.NDArray[np.float32]
Words = np.ndarray[Any, Any]
Numerics = Literal["app-fp32", "mergekit-0.1.5"]

_HALF = np.uint32(0x7FFF)
_HIGH = np.uint32(0xFFFF0000)
_ONE = np.uint32(1)
_SHIFT = np.uint32(16)


class _Scratch(threading.local):
    """Integers of one thread, for the length of one call."""

    def __init__(self) -> None:
        self.bits = np.empty(0, dtype=np.uint32)

    def __call__(self, count: int) -> npt.NDArray[np.uint32]:
        if len(self.bits) < count:
            self.bits = np.empty(count, dtype=np.uint32)
        return self.bits[:count]


_scratch = _Scratch()


def widen(words: Words, dtype: str, out: Floats) -> None:
    """Read flat words as float32 numbers.

    Args:
        words: in ``NUMPY_DTYPE[dtype]``.
        dtype: safetensors name.
        out: filled; as long as ``words``.
    """
    if dtype == "BF16":
        bits = out.view(np.uint32)
        # Twice as fast as storing the words into every second place.
        np.copyto(bits, words)
        np.left_shift(bits, _SHIFT, out=bits)
    elif dtype in {"F8_E4M3", "F8_E5M2"}:
        np.copyto(out, to_float32(words, dtype))
    else:
        np.copyto(out, words, casting="unsafe")


def narrow(values: Floats, dtype: str, out: Words) -> None:
    """Round float32 numbers to the words of a dtype.

    Args:
        values: flat and finite; only read.
        dtype: ``F16``, ``BF16``, ``F32`` or ``F64``.
        out: filled; as long as ``values``, in ``NUMPY_DTYPE[dtype]``.
    """
    if dtype == "BF16":
        bits = _scratch(len(values))
        _odd(values.view(np.uint32), bits)
        np.add(bits, values.view(np.uint32), out=bits)
        np.right_shift(bits, _SHIFT, out=bits)
        np.copyto(out, bits, casting="unsafe")
    else:
        with np.errstate(over="ignore"):
            np.copyto(out, values, casting="unsafe")


def _odd(bits: npt.NDArray[np.uint32], out: npt.NDArray[np.uint32]) -> None:
    """Give what has to be added before cutting off the low half: a half, to even."""
    np.right_shift(bits, _SHIFT, out=out)
    np.bitwise_and(out, _ONE, out=out)
    np.add(out, _HALF, out=out)


def is_finite(values: Floats) -> bool:
    """Look for NaN and infinity; NaN is the largest and the smallest of any numbers."""
    if not len(values):
        return True
    return bool(np.isfinite(values.max()) and np.isfinite(values.min()))


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Where intermediate results are rounded, and to what.

    In ``app-fp32`` nothing is rounded before the end. In mergekit's numerics every step
    is, to the dtype that its file computes in; methods call ``round`` where it does.

    Args:
        numerics: whose.
        dtype: ``F32``, ``BF16`` or ``F16``; of every step.
    """

    numerics: Numerics = "app-fp32"
    dtype: str = "F32"

    @property
    def is_mergekit(self) -> bool:
        """Whether bits are to be those of mergekit 0.1.5."""
        return self.numerics != "app-fp32"

    def round(self, values: Floats) -> None:
        """Round numbers in place."""
        if self.dtype == "BF16":
            bits, extra = values.view(np.uint32), _scratch(values.size).reshape(values.shape)
            _odd(bits, extra)
            np.add(bits, extra, out=bits)
            np.bitwise_and(bits, _HIGH, out=bits)
        elif self.dtype == "F16":
            with np.errstate(over="ignore"):
                np.copyto(values, values.astype(np.float16))

    def number(self, value: float) -> np.float32:
        """Round one number: a weight, a sum, a quotient."""
        if self.dtype == "F32":
            return np.float32(value)
        words = from_float(np.array([value], dtype=np.float64), self.dtype)
        return np.float32(to_float32(words, self.dtype)[0])


FLOAT32 = Arithmetic()
