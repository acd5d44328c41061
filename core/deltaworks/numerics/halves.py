"""Numbers as float16 in units of a power of two.

Deltas are often so small that plain float16 would store them as subnormals with few
bits. A power of two as the unit costs four bytes a tensor and no precision.
"""

from __future__ import annotations

from math import frexp, ldexp

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]

_TOP = 15
_SMALLEST, _LARGEST = -126, 127


def unit_for(largest: float) -> float:
    """Give the power of two in whose units ``largest`` lies in [2^14, 2^15).

    Args:
        largest: largest magnitude that will be stored; finite, not negative.
    """
    if largest == 0.0:
        return 1.0
    exponent = frexp(largest)[1] - _TOP
    return ldexp(1.0, min(max(exponent, _SMALLEST), _LARGEST))


def to_halves(values: Floats, unit: float) -> Halves:
    """Express values in a unit and round them to float16."""
    return (values * np.float32(1.0 / unit)).astype(np.float16)


def from_halves(halves: Halves, unit: float) -> Floats:
    """Undo ``to_halves``."""
    return halves.astype(np.float32) * np.float32(unit)
