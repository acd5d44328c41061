"""Uniform grids that hold zero, one for every group of consecutive values.

Source: the asymmetric grids of the GPTQ code as used by Delta-CoMe (arXiv:2406.08903):
``low = min(0, values)``, ``high = max(0, values)``. Scales are kept as float16, and the
codes are made for the scales as kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint16]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grids:
    """One grid a group: ``value = scale (code - zero)``.

    Args:
        scale: distance of neighbours, float16; 0 where all values are 0.
        zero: code of the value 0, uint8 up to 8 bits, else int32.
    """

    scale: npt.NDArray[np.float16]
    zero: npt.NDArray[Any]


def zero_dtype(bits: int) -> np.dtype[Any]:
    """Dtype of the codes of zero."""
    return np.dtype(np.uint8 if bits <= 8 else np.int32)


def group_lengths(counts: npt.NDArray[Any], size: int) -> Counts:
    """Split runs of values into groups; only the last group of a run may be shorter.

    Args:
        counts: values of each run.
        size: values of a group.
    """
    counts = counts.astype(np.int64)
    groups = -(-counts // size)
    lengths = np.full(int(groups.sum()), size, dtype=np.int64)
    has_any = groups > 0
    last = np.cumsum(groups)[has_any] - 1
    lengths[last] = (counts - (groups - 1) * size)[has_any]
    return lengths


def fit_grids(values: Floats, lengths: Counts, bits: int) -> Grids:
    """Fit a grid to the range of every group, widened to hold zero.

    Args:
        values: flat, group after group, small enough for float16 scales.
        lengths: of the groups, each at least 1.
        bits: of a code, 2 to 16.
    """
    if len(lengths) == 0:
        return Grids(np.zeros(0, dtype=np.float16), np.zeros(0, dtype=zero_dtype(bits)))
    starts = np.cumsum(lengths) - lengths
    low = np.minimum(np.minimum.reduceat(values, starts), 0.0)
    high = np.maximum(np.maximum.reduceat(values, starts), 0.0)
    top = (1 << bits) - 1
    exact = (high - low) / np.float32(top)
    scale = exact.astype(np.float16)
    # Rounded up, so that the grid reaches both ends.
    short = scale.astype(np.float32) < exact
    scale[short] = np.nextafter(scale[short], np.float16(np.inf))
    zero = np.clip(np.rint(-low / _divisor(scale)), 0, top)
    return Grids(scale, zero.astype(zero_dtype(bits)))


def to_codes(values: Floats, lengths: Counts, grids: Grids, bits: int) -> Codes:
    """Round every value to the nearest code of its group."""
    codes = np.rint(values / np.repeat(_divisor(grids.scale), lengths))
    codes += np.repeat(grids.zero.astype(np.float32), lengths)
    return np.clip(codes, 0, (1 << bits) - 1).astype(np.uint16)


def from_codes(codes: Codes, lengths: Counts, grids: Grids) -> Floats:
    """Undo ``to_codes``."""
    values = codes.astype(np.float32) - np.repeat(grids.zero.astype(np.float32), lengths)
    values *= np.repeat(grids.scale.astype(np.float32), lengths)
    return values


def _divisor(scale: npt.NDArray[np.float16]) -> Floats:
    return np.where(scale == 0, np.float32(1), scale.astype(np.float32))
