"""Words coded as planes of bytes, piece by piece, so that nothing is held twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.byte_coding import PIECE, Bytes, Expander, Offsets, Squeezer
from deltaworks.numerics.byte_planes import join_into, plane_into, split_into
from deltaworks.numerics.chunks import spans

Words = npt.NDArray[Any]
Coded = tuple[Bytes, "Offsets | None"]
"""Bytes, and where their pieces lie; None when they are raw."""
Step = Callable[[slice, Words], None]
"""Writes the words of a span into a buffer, or takes them from it."""


def code_planes(give: Step, count: int, dtype: np.dtype[Any], level: int) -> list[Coded]:
    """Code words that come piece by piece.

    Args:
        give: writes the words of a span; asked a second time for planes that are kept raw.
        count: words.
        dtype: unsigned integers.
        level: zstd level; see ``byte_coding``.

    Returns:
        One for each plane, the lowest first.
    """
    buffer = np.empty(min(count, PIECE), dtype=dtype)
    planes = [np.empty(len(buffer), dtype=np.uint8) for _ in range(dtype.itemsize)]
    squeezers = [Squeezer(level) for _ in planes]
    for span in spans(count, PIECE):
        words = buffer[: span.stop - span.start]
        give(span, words)
        split_into(words, [plane[: len(words)] for plane in planes])
        for plane, squeezer in zip(planes, squeezers, strict=True):
            squeezer.add(plane[: len(words)])
    found = [squeezer.finish() for squeezer in squeezers]
    return [
        (_raw_plane(give, count, buffer, place), None) if coded is None else coded
        for place, coded in enumerate(found)
    ]


def _raw_plane(give: Step, count: int, buffer: Words, place: int) -> Bytes:
    plane = np.empty(count, dtype=np.uint8)
    for span in spans(count, PIECE):
        words = buffer[: span.stop - span.start]
        give(span, words)
        plane_into(words, place, plane[span])
    return plane


def decode_planes(coded: Sequence[Coded], take: Step, count: int, dtype: np.dtype[Any]) -> None:
    """Undo ``code_planes``.

    Args:
        coded: what it gave.
        take: gets the words of a span, in a buffer that is used again.
        count: words.
        dtype: as given.

    Raises:
        DamagedError: the bytes are not what was written, or not as many.
    """
    expanders = [Expander(blob, offsets, count) for blob, offsets in coded]
    buffer = np.empty(min(count, PIECE), dtype=dtype)
    for number, span in enumerate(spans(count, PIECE)):
        words = buffer[: span.stop - span.start]
        join_into([one.piece(number) for one in expanders], words)
        take(span, words)
