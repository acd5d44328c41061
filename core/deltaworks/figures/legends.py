"""A legend above the axes, in as many rows as the width needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deltaworks.figures.frame import pixels
from deltaworks.figures.look import PT, Look

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

ROW = 24.0
TOP = 10.0
_HANDLE = 44.0  # mark and space around it


def legend_rows(
    figure: Figure, entries: Sequence[tuple[Artist, str]], look: Look, room: float
) -> list[list[tuple[Artist, str]]]:
    """Break entries into rows no wider than ``room`` pixels."""
    rows: list[list[tuple[Artist, str]]] = []
    used = 0.0
    for entry in entries:
        width = _text_width(figure, entry[1], look) + _HANDLE
        if not rows or used + width > room:
            rows.append([])
            used = 0.0
        rows[-1].append(entry)
        used += width
    return rows


def draw_legend(
    figure: Figure, rows: Sequence[Sequence[tuple[Artist, str]]], look: Look, left: float
) -> None:
    """Draw rows from the top, the first mark at ``left`` pixels."""
    width, height = pixels(figure)
    for number, row in enumerate(rows):
        figure.legend(
            [handle for handle, _ in row],
            [text for _, text in row],
            loc="upper left",
            bbox_to_anchor=(left / width, 1 - (TOP + number * ROW) / height),
            ncols=len(row),
            frameon=False,
            borderpad=0,
            borderaxespad=0,
            handlelength=1.3,
            handletextpad=0.5,
            columnspacing=1.5,
            labelcolor=look.text_2,
            prop={"family": look.fonts, "size": look.base_size * PT},
        )


def _text_width(figure: Figure, text: str, look: Look) -> float:
    label = figure.text(0, 0, text, fontfamily=look.fonts, fontsize=look.base_size * PT)
    width = float(label.get_window_extent().width) * 100 / figure.dpi
    label.remove()
    return width
