"""What a trade-off plot shows, as plain data; importing it loads no plotting library."""

from __future__ import annotations

from dataclasses import dataclass

from deltaworks.figures.axis_choices import XChoice, YChoice


@dataclass(frozen=True, slots=True)
class PlotChoice:
    """What is shown, and how.

    Args:
        x: size axis; ``y`` quality axis.
        log_x: whether sizes are logarithmic.
        at_least: quality line, a fraction; None without.
        at_most: size line in the unit of ``x``.
    """

    x: XChoice = "size"
    y: YChoice = "quality"
    log_x: bool = True
    at_least: float | None = None
    at_most: float | None = None
