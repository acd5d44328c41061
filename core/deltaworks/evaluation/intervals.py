"""How sure a number is: 95 % intervals."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt

Z95 = 1.959963984540054
"""Quantile of the standard normal at 97.5 %."""


def wilson(right: int, n: int) -> tuple[float, float]:
    """Give the Wilson score interval of a share at 95 %.

    Source: Wilson 1927; unlike the normal interval it stays inside [0, 1] and keeps a
    width at 0 and at n.

    Args:
        right: items that count, 0 to ``n``.
        n: items in all; 0 tells nothing, so the interval is [0, 1].
    """
    if n == 0:
        return 0.0, 1.0
    share, z2 = right / n, Z95 * Z95
    centre = share + z2 / (2 * n)
    half = Z95 * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if right == 0 else (centre - half) / (1 + z2 / n)
    high = 1.0 if right == n else (centre + half) / (1 + z2 / n)
    return low, high


@dataclass
class RunningMean:
    """Mean and normal 95 % interval of a stream of group sums, in float64.

    Tokens of one window are not independent, so the spread is taken over windows: each
    is one draw of a ratio estimate (its sum over its count).

    Attributes:
        n: numbers seen, such as tokens.
        total: their sum.
    """

    n: int = 0
    total: float = 0.0
    _groups: list[tuple[float, int]] = field(default_factory=list)

    def add(self, total: float, count: int) -> None:
        """Take in one group: the sum of its numbers and how many they are."""
        self.n += count
        self.total += total
        self._groups.append((total, count))

    @property
    def mean(self) -> float:
        """Sum over count; 0 before anything was added."""
        return self.total / self.n if self.n else 0.0

    def interval(self) -> tuple[float, float] | None:
        """Mean ± 1.96 standard errors; None below two groups."""
        groups = self._groups
        if len(groups) < 2:
            return None
        mean = self.mean
        spread = sum((total - mean * count) ** 2 for total, count in groups)
        error = sqrt(spread * len(groups) / (len(groups) - 1)) / self.n
        return mean - Z95 * error, mean + Z95 * error
