"""Ticks that follow a zoom: a locator around a plain rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.ticker import Locator

Rule = Callable[[float, float], Sequence[float]]
"""Both ends of what is shown to the places of its ticks."""


def locator(rule: Rule) -> Locator:
    """Ask a rule for ticks whenever the range changes."""
    from matplotlib.ticker import Locator

    class RuleLocator(Locator):
        def __call__(self) -> Sequence[float]:
            assert self.axis is not None
            low, high = sorted(self.axis.get_view_interval())
            return rule(float(low), float(high))

        def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
            return rule(*sorted((vmin, vmax)))

    return RuleLocator()
