"""Keep masks that must be stored: a bitmap, a zstd bitmap or zstd gaps, the smallest.

A random mask of density d costs at least H(d) bits an entry (``entropy``). Bitmaps come
near that when many entries are kept, gaps between kept entries when few are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.byte_coding import DamagedError, expand, squeeze

Mask = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Arrays = dict[str, npt.NDArray[Any]]

_GAPS_BELOW = 0.25
_LAST = np.uint8(0x80)


def encode_mask(mask: Mask) -> Arrays:
    """Store a flat mask.

    Returns:
        ``mask`` (bitmap, lowest bit first), with ``mask_off`` when compressed; or
        ``gaps`` (LEB128 distances between kept entries) with ``gaps_off`` and
        ``gaps_len`` (bytes before compression).
    """
    bitmap = np.packbits(mask, bitorder="little")
    best = _named("mask", *squeeze(bitmap))
    kept = np.flatnonzero(mask)
    if len(kept) < _GAPS_BELOW * len(mask):
        numbers = leb128(np.diff(kept, prepend=-1) - 1)
        gaps = _named("gaps", *squeeze(numbers))
        gaps["gaps_len"] = np.array([len(numbers)], dtype=np.int64)
        best = min(best, gaps, key=_size)
    return best


def decode_mask(parts: Arrays, count: int) -> Mask:
    """Undo ``encode_mask``.

    Args:
        parts: what ``encode_mask`` gave; other names are ignored.
        count: entries of the mask.

    Raises:
        DamagedError: the bytes are not what was written.
    """
    if "mask" in parts:
        bitmap = expand(_bytes(parts["mask"]), _offsets(parts.get("mask_off")), -(-count // 8))
        return np.unpackbits(bitmap, count=count, bitorder="little").view(np.bool_)
    if "gaps" not in parts or len(parts.get("gaps_len", ())) != 1:
        raise DamagedError("has neither a mask nor gaps")
    length = int(parts["gaps_len"][0])
    if not 0 <= length <= 5 * count:
        raise DamagedError(f"claims {length:,} bytes of gaps for {count:,} entries")
    numbers = expand(_bytes(parts["gaps"]), _offsets(parts.get("gaps_off")), length)
    kept = np.cumsum(from_leb128(numbers) + 1) - 1
    if len(kept) and int(kept[-1]) >= count:
        raise DamagedError(f"keeps entry {int(kept[-1]):,} of {count:,}")
    mask = np.zeros(count, dtype=np.bool_)
    mask[kept] = True
    return mask


def entropy(density: float) -> float:
    """Bits an entry of a random mask costs at best."""
    if not 0.0 < density < 1.0:
        return 0.0
    rest = 1.0 - density
    return float(-density * np.log2(density) - rest * np.log2(rest))


def leb128(numbers: npt.NDArray[np.int64]) -> Bytes:
    """Write non-negative numbers below 2^35, seven bits a byte, lowest first."""
    lengths = np.ones(len(numbers), dtype=np.int64)
    for more in range(1, 5):
        lengths += numbers >> (7 * more) > 0
    starts = np.cumsum(lengths) - lengths
    out = np.empty(int(lengths.sum()), dtype=np.uint8)
    for place in range(5):
        mine = np.flatnonzero(lengths > place)
        low = ((numbers[mine] >> (7 * place)) & 0x7F).astype(np.uint8)
        goes_on = lengths[mine] > place + 1
        out[starts[mine] + place] = low | (goes_on * _LAST)
    return out


def from_leb128(data: Bytes) -> npt.NDArray[np.int64]:
    """Undo ``leb128``.

    Raises:
        DamagedError: the last number does not end, or one is too long.
    """
    ends = np.flatnonzero(data < _LAST)
    if len(data) and (len(ends) == 0 or int(ends[-1]) != len(data) - 1):
        raise DamagedError("ends inside a number")
    starts = np.concatenate(([0], ends[:-1] + 1)).astype(np.int64)[: len(ends)]
    lengths = ends - starts + 1
    if len(ends) and int(lengths.max()) > 5:
        raise DamagedError("holds a number that is too long")
    numbers = np.zeros(len(ends), dtype=np.int64)
    for place in range(5):
        mine = np.flatnonzero(lengths > place)
        numbers[mine] |= (data[starts[mine] + place] & 0x7F).astype(np.int64) << (7 * place)
    return numbers


def _named(name: str, blob: Bytes, offsets: npt.NDArray[np.int64] | None) -> Arrays:
    parts: Arrays = {name: blob}
    if offsets is not None:
        parts[f"{name}_off"] = offsets
    return parts


def _size(parts: Arrays) -> int:
    return sum(part.nbytes for part in parts.values())


def _bytes(part: npt.NDArray[Any]) -> Bytes:
    return part.astype(np.uint8, copy=False).reshape(-1)


def _offsets(part: npt.NDArray[Any] | None) -> npt.NDArray[np.int64] | None:
    return None if part is None else part.astype(np.int64, copy=False).reshape(-1)
