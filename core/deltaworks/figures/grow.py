"""A stream of tasks: accuracy after each task, what each task lost, how changes meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.figures.frame import Margins, add_axes, pixels, say, title_axes
from deltaworks.figures.look import LIGHT, PT, Look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from deltaworks.studies.grow_record import Arm, GrowResult, Row

_LEGEND, _LEFT, _GAP = 290, 110, 120
_DARK = 0.55
"""Share of the scale from which numbers in cells are light."""


def draw_curves(figure: Figure, found: GrowResult, *, look: Look = LIGHT) -> None:
    """Draw each arm's accuracy on all classes so far; an arm known at the end only is a mark.

    Args:
        figure: a clear one.
        found: the result; its first arm stands out.
        look: colours and fonts.
    """
    axes = add_axes(figure, look, Margins(right=_LEGEND))
    title_axes(axes, look, "Tasks learnt", "Share right on all classes so far")
    arms = [arm for arm in found.arms if any(value is not None for value in arm.curve)]
    if not arms:
        say(axes, look, "Nothing was measured.")
        return
    for number, arm in enumerate(arms):
        series = look.series[number % len(look.series)]
        points = [(at + 1, one) for at, one in enumerate(arm.curve) if one is not None]
        axes.plot(
            [at for at, _ in points],
            [value for _, value in points],
            label=label_of(arm),
            color=look.accent if number == 0 else series.color,
            marker=series.marker,
            markersize=(7 if number == 0 else 5) * PT,
            linewidth=(2.4 if number == 0 else 1.2) * PT,
            linestyle="-" if number < len(look.series) else "--",
            zorder=3 if number == 0 else 2,
        )
    axes.set_xticks(range(1, len(found.tasks) + 1))
    axes.set_ylim(-0.02, 1.02)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        prop={"family": look.fonts, "size": look.small_size * PT},
        labelcolor=look.text_2,
    )


def label_of(arm: Arm) -> str:
    """Name an arm with its classifier and statistics, so that no figure can be misread."""
    kind = {"class-mean": "means", "ridge": "ridge", "linear": "own head"}[arm.classifier]
    return f"{arm.title} ({kind}, {arm.statistics})"


def draw_matrices(figure: Figure, found: GrowResult, *, look: Look = LIGHT) -> None:
    """Draw accuracy after each task by task, and cosines of changes, whole and thinned.

    Args:
        figure: a clear one, wide.
        found: the result; the accuracies are those of its first arm.
        look: colours and fonts.
    """
    names = [task.name for task in found.tasks]
    panels: list[tuple[str, str, Sequence[Row]]] = [
        (f"Test images of: {label_of(found.arms[0])}", "After", found.arms[0].matrix),
        ("Cosines of changes, whole", "", found.cosines),
        ("Cosines of changes, thinned", "", found.thinned_cosines),
    ]
    width = (pixels(figure)[0] - 3 * _GAP) / 3
    for number, (across, up, rows) in enumerate(panels):
        left = _LEFT + number * (width + _GAP)
        right = pixels(figure)[0] - left - width
        axes = add_axes(figure, look, Margins(left=left, right=right, bottom=110))
        title_axes(axes, look, across, up)
        _heat(axes, rows, names, look, is_accuracy=number == 0)


def _heat(
    axes: Any, rows: Sequence[Row], names: Sequence[str], look: Look, *, is_accuracy: bool
) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    table = np.array([[np.nan if one is None else one for one in row] for row in rows], float)
    shown = table if is_accuracy else np.abs(table)
    colours = LinearSegmentedColormap.from_list("grow", [look.ground, look.accent])
    axes.grid(visible=False)
    axes.imshow(np.ma.masked_invalid(shown), cmap=colours, vmin=0.0, vmax=1.0, aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        if not np.isnan(value):
            is_dark = abs(value) > _DARK
            axes.text(
                column,
                row,
                f"{value:.2f}",
                ha="center",
                va="center",
                color=look.ground if is_dark else look.text,
                fontfamily=look.fonts,
                fontsize=look.small_size * PT,
            )
    ticks = range(len(names))
    axes.set_xticks(ticks, [_short(name) for name in names], rotation=30, ha="right")
    axes.set_yticks(ticks, [_short(name) for name in names])


def _short(name: str, most: int = 14) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
