"""A tensor as it is stored, read piece by piece into buffers that are used again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.rounding import Arithmetic, widen

Floats = npt.NDArray[np.float32]

PIECE = 1 << 16
"""Elements of one buffer: several of them fit into a core's cache together."""
_SMALLEST = 1 << 12
_CACHE_BYTES = 1_500_000
_STAGGER = 48
"""Elements between buffers, so that they do not compete for the same lines of the cache."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor's numbers, flat, as they are stored.

    Args:
        words: in ``NUMPY_DTYPE[dtype]``.
        dtype: safetensors name.
        loads: what every number is rounded to when it is read; None for nothing.
    """

    words: np.ndarray[Any, Any]
    dtype: str
    loads: Arithmetic | None = None

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, part: slice) -> Stored:
        """See a stretch."""
        return Stored(self.words[part], self.dtype, self.loads)

    def into(self, span: slice, out: Floats) -> None:
        """Read a stretch as float32."""
        widen(self.words[span], self.dtype, out)
        if self.loads is not None:
            self.loads.round(out)


class Room:
    """Buffers of one piece each, allocated once for a thread and used for every tensor.

    Args:
        size: elements of a buffer.
    """

    def __init__(self, size: int = PIECE) -> None:
        self.size = size
        self._rows: Floats = np.empty((0, size), dtype=np.float32)

    def rows(self, count: int) -> Floats:
        """Give ``(count, size)`` buffers; whoever asks next gets the same ones again."""
        if len(self._rows) < count:
            block = np.empty(count * (self.size + _STAGGER), dtype=np.float32)
            self._rows = block.reshape(count, -1)[:, : self.size]
        return self._rows[:count]


def piece_size(n_buffers: int) -> int:
    """Choose the size of a piece so that so many buffers of it fit into the cache."""
    size = PIECE
    while size > _SMALLEST and n_buffers * 4 * size > _CACHE_BYTES:
        size //= 2
    return size
