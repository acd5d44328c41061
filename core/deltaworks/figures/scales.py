"""Ranges and readable ticks of a trade-off's axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

_STEPS: tuple[tuple[float, ...], ...] = (
    (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8),
    (1, 1.5, 2, 3, 5, 7),
    (1, 2, 5),
    (1, 3),
    (1,),
)
_FLOOR = -0.1
"""Points below are pinned to the bottom: a fidelity of -8 must not flatten the rest."""


def log_range(values: Sequence[float]) -> tuple[float, float]:
    """Give both ends with air of an eighth of the span, at least a third of a decade."""
    low, high = log10(min(values)), log10(max(values))
    middle, half = (low + high) / 2, max((high - low) * 0.625, 0.17)
    return 10 ** (middle - half), 10 ** (middle + half)


def linear_range(values: Sequence[float]) -> tuple[float, float]:
    """Start at nothing and leave air at the right."""
    return 0.0, max(values) * 1.12


def log_ticks(low: float, high: float, at_most: int) -> list[float]:
    """Choose the finest of 1-1.2-1.5…, 1-2-5, 1-3, 1 that gives at most so many ticks."""
    found: list[float] = []
    for steps in _STEPS:
        powers = range(floor(log10(low)), ceil(log10(high)) + 1)
        found = [s * 10.0**p for p in powers for s in steps if low <= s * 10.0**p <= high]
        if len(found) <= at_most:
            return found if len(found) > 1 else linear_ticks(low, high, at_most)
    skip = -(-len(found) // at_most)
    return found[::skip]


def linear_ticks(low: float, high: float, at_most: int) -> list[float]:
    """Choose multiples of 1, 2 or 5 times a power of ten: the finest that are few enough."""
    power = floor(log10((high - low) / at_most))
    for step in (s * 10.0**p for p in (power, power + 1) for s in (1, 2, 5)):
        first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
        if last - first + 1 <= at_most:
            return [number * step for number in range(first, last + 1)]
    return [low]


def share_range(values: Sequence[float], room_above: float) -> tuple[float, float]:
    """Give a vertical range of shares, with room above for a label.

    Args:
        values: what must be seen; may be empty.
        room_above: part of the height to keep free over the highest value.
    """
    top = max([1.0, *values])
    bottom = min([top - 0.04, *(value for value in values if value >= _FLOOR)])
    bottom -= 0.06 * (top - bottom)
    return bottom, top + room_above * (top - bottom) / (1 - room_above)


def share_ticks(low: float, high: float, at_most: int) -> list[float]:
    """Choose round shares: steps of 1, 2, 5, 10, 20 or 25 percent, or finer.

    The room over 100 % belongs to labels and gets no tick.
    """
    top = min(high, max(1.0, high - 0.1 * (high - low)))
    for step in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0):
        first, last = ceil(low / step - 1e-9), floor(top / step + 1e-9)
        if last - first + 1 <= at_most:
            return [number * step for number in range(first, last + 1)]
    return linear_ticks(low, top, at_most)
