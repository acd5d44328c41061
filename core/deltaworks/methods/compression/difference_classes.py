"""Differences of float words coded in classes of size, with the base's exponent as context.

How far a weight moved depends on how large it was: where the base's exponent is small, the
same step crosses more floats. The decoder knows the base, so the context costs nothing.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltaworks.methods.compression.parts import damaged, take
from deltaworks.numerics.byte_coding import DamagedError
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.class_coding import PIECE, Coded, decode_numbers, encode_numbers

if TYPE_CHECKING:
    from deltaworks.methods.compression_record import Parts
    from deltaworks.methods.method import TensorSpec

Words = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

_STREAMS = ("k_tab", "k_cls", "k_low")
_EXPONENT = {"BF16": (7, 0xFF), "F16": (10, 0x1F), "F32": (23, 0xFF)}


def exponents(words: Words, dtype: str) -> Bytes:
    """Give the biased exponent of every float word."""
    shift, mask = _EXPONENT[dtype]
    found: Bytes = ((words >> words.dtype.type(shift)) & words.dtype.type(mask)).astype(np.uint8)
    return found


def code_difference(zigzag: Words, base: Words, dtype: str) -> Parts:
    """Code differences.

    Args:
        zigzag: as ``zigzag_delta`` gives them, flat.
        base: words of the base, as many.
        dtype: safetensors name, a float of 16 or 32 bits.

    Returns:
        ``k_tab``, ``k_cls`` and ``k_low`` u8, all pieces one after another, and ``k_off``
        i64 ``(pieces, 3)``: where each piece ends in them.
    """
    coded = [
        encode_numbers(zigzag[span], exponents(base[span], dtype))
        for span in spans(len(zigzag), PIECE)
    ]
    streams = [(one.tables, one.classes, one.low) for one in coded]
    nothing = np.zeros(0, dtype=np.uint8)
    parts: Parts = {
        name: np.concatenate([nothing, *(piece[place] for piece in streams)])
        for place, name in enumerate(_STREAMS)
    }
    sizes = np.array([[len(one) for one in piece] for piece in streams], dtype=np.int64)
    return parts | {"k_off": np.cumsum(sizes.reshape(-1, len(_STREAMS)), axis=0)}


def decode_difference(parts: Parts, base: Words, dtype: str, spec: TensorSpec) -> Words:
    """Undo ``code_difference``.

    Raises:
        FileError: the parts are damaged, or were made from another base.
    """
    pieces = list(spans(len(base), PIECE))
    ends = take(parts, "k_off", np.int64, (len(pieces), len(_STREAMS)), spec)
    streams = [take(parts, name, np.uint8, (-1,), spec) for name in _STREAMS]
    cut = [
        _cut(stream, ends[:, place].tolist(), name, spec)
        for place, (stream, name) in enumerate(zip(streams, _STREAMS, strict=True))
    ]
    out = np.empty(len(base), dtype=base.dtype)
    for number, span in enumerate(pieces):
        coded = Coded(*(stream[number] for stream in cut))
        try:
            out[span] = decode_numbers(coded, exponents(base[span], dtype), base.dtype)
        except DamagedError as error:
            raise damaged(spec, f"piece {number} of the difference {error}") from error
    return out


def _cut(stream: Bytes, ends: list[int], name: str, spec: TensorSpec) -> list[Bytes]:
    bounds = [0, *ends]
    if bounds != sorted(bounds) or bounds[-1] != len(stream):
        raise damaged(spec, f"part 'k_off' does not fit the {len(stream):,} bytes of '{name}'")
    return [stream[start:end] for start, end in pairwise(bounds)]
