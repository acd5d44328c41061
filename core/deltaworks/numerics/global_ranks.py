"""Exact order statistics of more numbers than fit into memory, in two passes of counting.

The first pass counts the upper halves of order-preserving keys, the second one the lower
halves of those keys whose upper half holds the wanted rank.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Keys = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.int64]

_HALF = 1 << 16
_SIGN = np.uint32(1 << 31)


def ordered_keys(values: Floats) -> Keys:
    """Give integers in the order of the numbers; -0 and 0 are one.

    Args:
        values: without NaN.
    """
    bits = (values + np.float32(0.0)).view(np.uint32)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def value_of(key: int) -> float:
    """Give the number of an ordered key."""
    bits = key & ~int(_SIGN) if key & int(_SIGN) else ~key & 0xFFFFFFFF
    return float(np.array(bits, dtype=np.uint32).view(np.float32))


def coarse_counts(keys: Keys) -> Counts:
    """Count the upper halves: 65 536 counts, which may be added up over pieces."""
    return np.bincount(keys >> np.uint32(16), minlength=_HALF).astype(np.int64)


def locate(counts: Counts, rank: int) -> tuple[int, int]:
    """Find where a rank lies.

    Args:
        counts: of halves.
        rank: from 0, ascending, below the sum of the counts.

    Returns:
        The half, and the rank among those that share it.
    """
    ends = np.cumsum(counts)
    half = int(np.searchsorted(ends, rank, side="right"))
    return half, rank - (int(ends[half - 1]) if half else 0)


def fine_counts(keys: Keys, upper: int) -> Counts:
    """Count the lower halves of the keys with one upper half."""
    inside = keys[keys >> np.uint32(16) == upper]
    return np.bincount(inside & np.uint32(0xFFFF), minlength=_HALF).astype(np.int64)


def joined(upper: int, lower: int) -> float:
    """Give the number whose key has these halves."""
    return value_of(upper << 16 | lower)
