"""Scales as whole numbers of half-octaves, packed in as few bits as their range needs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.byte_coding import DamagedError
from deltaworks.numerics.packing import pack, packed_width, unpack

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

_SMALLEST = np.float32(2.0**-100)
_ROUNDS = 2
_MOST_BITS = 7
_OFFSET = 128


def half_octaves(scales: Floats) -> Codes:
    """Express positive scales in half-octaves: ``rint(2 log2 s)``."""
    return np.rint(2.0 * np.log2(np.maximum(scales, _SMALLEST).astype(np.float64))).astype(np.int64)


def separable(matrix: Floats, *, rows: bool, cols: bool) -> tuple[Codes, Codes]:
    """Fit ``rms_ij = r_i c_j``; what is not wanted of the two is 0 but for the whole's rms.

    Args:
        matrix: ``(rows, cols)``, in steps.
        rows: whether every row has a scale.
        cols: whether every column has one.
    """
    m, n = matrix.shape
    energy = np.square(matrix)
    whole = float(energy.mean()) if energy.size else 0.0
    of_rows = np.full(m, whole, dtype=np.float32)
    of_cols = np.ones(n, dtype=np.float32)
    for _ in range(_ROUNDS if rows and cols else 1):
        if rows:
            of_rows = energy @ (1.0 / np.maximum(of_cols, _SMALLEST)) / max(n, 1)
        if cols:
            of_cols = (1.0 / np.maximum(of_rows, _SMALLEST)) @ energy / max(m, 1)
    return half_octaves(np.sqrt(of_rows)), half_octaves(np.sqrt(of_cols))


def write_codes(codes: Codes) -> Bytes:
    """Store codes: the least one, the bits of each, then what they are above it."""
    if len(codes) == 0:
        return np.zeros(0, dtype=np.uint8)
    # Far below the loudest everything is zero anyway.
    floor = max(int(codes.min()), int(codes.max()) - (1 << _MOST_BITS) + 1)
    low = int(np.clip(floor, -_OFFSET, _OFFSET - 1))
    above = np.clip(codes - low, 0, (1 << _MOST_BITS) - 1)
    bits = int(above.max()).bit_length()
    head = np.array([low + _OFFSET, bits], dtype=np.uint8)
    packed = pack(above[None, :], bits)[0] if bits else np.zeros(0, dtype=np.uint8)
    return np.concatenate([head, packed])


def read_codes(data: Bytes, count: int) -> tuple[Codes, Bytes]:
    """Undo ``write_codes``; give what follows too.

    Raises:
        DamagedError: the bytes are not what was written.
    """
    if count == 0:
        return np.zeros(0, dtype=np.int64), data
    if len(data) < 2:
        raise DamagedError("ends before its scales")
    low, bits = int(data[0]) - _OFFSET, int(data[1])
    size = packed_width(count, bits)
    if bits > _MOST_BITS or len(data) < 2 + size:
        raise DamagedError("ends inside its scales")
    codes = np.full(count, low, dtype=np.int64)
    if bits:
        codes += unpack(data[None, 2 : 2 + size], bits, count)[0].astype(np.int64)
    return codes, data[2 + size :]
