"""Axes with the margins and quiet lines that all figures share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deltaworks.figures.look import PT, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Margins:
    """Pixels around the axes at 100 %."""

    left: float = 68
    right: float = 28
    top: float = 16
    bottom: float = 58


def pixels(figure: Figure) -> tuple[float, float]:
    """Width and height at 100 %, whatever the resolution."""
    width, height = figure.get_size_inches()
    return float(width) * 100, float(height) * 100


def add_axes(figure: Figure, look: Look, margins: Margins) -> Axes:
    """Add axes inside margins, styled; the figure must be clear."""
    width, height = pixels(figure)
    inner = (
        margins.left / width,
        margins.bottom / height,
        max(0.1, 1 - (margins.left + margins.right) / width),
        max(0.1, 1 - (margins.top + margins.bottom) / height),
    )
    figure.set_facecolor(look.ground)
    axes = figure.add_axes(inner)
    axes.set_facecolor(look.ground)
    axes.set_axisbelow(True)
    axes.grid(True, color=look.line, linewidth=PT)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(
        length=0,
        pad=8 * PT,
        labelsize=look.small_size * PT,
        labelcolor=look.text_2,
        labelfontfamily=look.fonts,
    )
    axes.minorticks_off()
    return axes


def title_axes(axes: Axes, look: Look, across: str, up: str) -> None:
    """Write what both axes show."""
    style: dict[str, Any] = {
        "fontfamily": look.fonts,
        "fontsize": look.small_size * PT,
        "fontweight": 700,
        "color": look.text_2,
    }
    axes.set_xlabel(across, labelpad=7, **style)
    axes.set_ylabel(up, labelpad=7, **style)


def say(axes: Axes, look: Look, sentence: str) -> None:
    """Write one sentence in the middle of empty axes."""
    axes.text(
        0.5,
        0.5,
        sentence,
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=look.text_2,
        fontfamily=look.fonts,
        fontsize=look.base_size * PT,
    )
