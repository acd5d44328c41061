"""What a delta file is made of: stacked bars of bytes by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from deltaworks.figures.frame import Margins, add_axes, pixels, say, title_axes
from deltaworks.figures.legends import ROW, TOP, draw_legend, legend_rows
from deltaworks.figures.look import LIGHT, PT, Look, SeriesLook
from deltaworks.figures.numbers import bytes_text
from deltaworks.figures.tradeoff_points import sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

EMPTY = "No file to break down yet."
_LETTER = 7.0  # widest mean width of a letter in pixels


def draw_sizes(
    figure: Figure, files: Sequence[tuple[str, Mapping[str, int]]], *, look: Look = LIGHT
) -> Axes:
    """Draw a bar a file into a figure that is cleared.

    Args:
        figure: any size.
        files: name for people and bytes by kind; every byte of the file is in some kind.
        look: theme.
    """
    figure.clear()
    kinds = list(dict.fromkeys(kind for _, parts in files for kind in parts))
    colors = {kind: look.series[i % len(look.series)] for i, kind in enumerate(kinds)}
    left = 28 + _LETTER * max((len(name) for name, _ in files), default=0)
    marks = [(sample(SeriesLook(c.color, c.edge, "s")), kind) for kind, c in colors.items()]
    rows = legend_rows(figure, marks, look, pixels(figure)[0] - left - 28)
    top = TOP + ROW * len(rows) + 6
    axes = add_axes(figure, look, Margins(left=left, right=84, top=top))
    title_axes(axes, look, "Bytes on disk", "")
    axes.grid(False, axis="y")
    if not files:
        axes.set(xticks=[], yticks=[])
        say(axes, look, EMPTY)
        return axes
    draw_legend(figure, rows, look, left)
    _stack(axes, files, colors, look)
    axes.xaxis.set_major_locator(_few_ticks())
    axes.xaxis.set_major_formatter(lambda value, _: bytes_text(value))
    return axes


def _few_ticks() -> MaxNLocator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5)


def _stack(
    axes: Axes,
    files: Sequence[tuple[str, Mapping[str, int]]],
    colors: Mapping[str, SeriesLook],
    look: Look,
) -> None:
    for place, (_, parts) in enumerate(files):
        start = 0
        for kind, size in parts.items():
            color = colors[kind]
            axes.barh(
                place,
                size,
                left=start,
                height=0.56,
                color=color.color,
                edgecolor=look.ground,
                linewidth=PT,
                zorder=2,
            )
            start += size
        axes.annotate(
            bytes_text(start),
            (start, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=look.text,
            fontfamily=look.fonts,
            fontsize=look.small_size * PT,
            annotation_clip=False,
        )
    axes.set_yticks(range(len(files)), [name for name, _ in files])
    axes.set_ylim(len(files) - 0.4, -0.6)
    axes.set_xlim(0, max(1, *(sum(parts.values()) for _, parts in files)))
