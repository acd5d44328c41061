"""Sums of float32 numbers in the order in which torch adds them on one x86 thread."""

from __future__ import annotations

import numpy as np

from deltaworks.numerics.stored import Floats

_VECTOR = 8
_LANES = 4 * _VECTOR
_LEVELS = 4
_LEAST_POWER = 4


class OrderedSum:
    """Sums numbers that come piece by piece.

    torch adds rows of 32 numbers, in four levels: so many sums of one level make one of
    the next. What is left over follows, and the 32 sums at last. Bits are those of
    ``Tensor.sum`` over contiguous numbers with AVX2 or AVX-512 and one thread.

    Args:
        count: of all numbers that will come.
    """

    def __init__(self, count: int) -> None:
        n_rows = count // _LANES
        self._step = 1 << max(_LEAST_POWER, max(0, n_rows - 1).bit_length() // _LEVELS)
        self._sums = np.zeros((_LEVELS, _LANES), dtype=np.float32)
        self._held = [0] * _LEVELS
        self._rest = np.empty(0, dtype=np.float32)

    def add(self, piece: Floats) -> None:
        """Add the next numbers; all pieces but the last are whole rows of 32."""
        whole = len(piece) // _LANES * _LANES
        self._push(0, piece[:whole].reshape(-1, _LANES))
        self._rest = piece[whole:].copy()

    def _push(self, level: int, rows: Floats) -> None:
        """Add rows to a level, and what it has completed to the next."""
        step, is_last = self._step, level == _LEVELS - 1
        while len(rows):
            if not self._held[level] and not is_last and len(rows) >= step:
                n_whole = len(rows) // step
                groups = rows[: n_whole * step].reshape(n_whole, step, _LANES)
                self._push(level + 1, np.add.reduce(groups, axis=1))
                rows = rows[n_whole * step :]
                continue
            taken = rows if is_last else rows[: step - self._held[level]]
            for row in taken:
                np.add(self._sums[level], row, out=self._sums[level])
            rows = rows[len(taken) :]
            self._held[level] += len(taken)
            if self._held[level] == step and not is_last:
                self._push(level + 1, self._sums[level : level + 1].copy())
                self._sums[level], self._held[level] = 0.0, 0

    def result(self) -> np.float32:
        """Give the sum of all that came."""
        lanes = self._sums[0].copy()
        for sums in self._sums[1:]:
            lanes += sums
        vectors = lanes.reshape(4, _VECTOR)
        whole = len(self._rest) // _VECTOR * _VECTOR
        for vector in self._rest[:whole].reshape(-1, _VECTOR):
            vectors[0] += vector
        for vector in vectors[1:]:
            vectors[0] += vector
        total = np.float32(0.0)
        for one in (*self._rest[whole:], *vectors[0]):
            total = np.float32(total + one)
        return total
