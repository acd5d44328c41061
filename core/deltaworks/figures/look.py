"""Colours, shapes and type of figures, passed in by whoever draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PT = 0.72
"""Points a pixel at 100 dpi, the resolution that all sizes here are meant for."""


@dataclass(frozen=True, slots=True)
class SeriesLook:
    """How one series is marked: fill, an edge that is dark enough, a shape."""

    color: str
    edge: str
    marker: str


@dataclass(frozen=True, slots=True)
class Look:
    """The tokens of a theme that figures use; sizes in pixels at 100 %.

    Args:
        ground: behind everything.
        line: grid; ``line_strong`` what must be seen, and greyed points.
        text: primary; ``text_2`` ticks and legend, ``text_3`` hints.
        accent: front, recommended point.
        bad: points that are not usable.
        shade: ground of what a filter excludes.
        series: colours and shapes in order.
        families: fonts, best first; those that are not there are passed over.
        base_size: titles and labels; ``small_size`` ticks and marks.
    """

    ground: str
    line: str
    line_strong: str
    text: str
    text_2: str
    text_3: str
    accent: str
    bad: str
    shade: str
    series: tuple[SeriesLook, ...]
    families: tuple[str, ...] = ("Inter", "DejaVu Sans")
    base_size: float = 12.5
    small_size: float = 12.0

    @property
    def fonts(self) -> list[str]:
        """The families that can be drawn with."""
        known = _installed()
        return [name for name in self.families if name in known] or ["sans-serif"]


_MARKERS = ("o", "s", "^", "D", "P", "v", "p", "h")
_SERIES = (
    ("#0072B2", "#0072B2", "#4BA3DC"),
    ("#E69F00", "#946600", "#E69F00"),
    ("#009E73", "#00805D", "#009E73"),
    ("#CC79A7", "#96466F", "#CC79A7"),
    ("#56B4E9", "#1F6F9F", "#56B4E9"),
    ("#D55E00", "#B34F00", "#D55E00"),
    ("#F0E442", "#7F7700", "#F0E442"),
    ("#4A5A68", "#4A5A68", "#A8B6C2"),
)

LIGHT = Look(
    ground="#F5F7F9",
    line="#DBE2E8",
    line_strong="#7B8996",
    text="#13202B",
    text_2="#4A5A68",
    text_3="#5D6D7B",
    accent="#0B7285",
    bad="#B3261E",
    shade="#EDF1F4",
    series=tuple(
        SeriesLook(color, edge, marker)
        for (color, edge, _), marker in zip(_SERIES, _MARKERS, strict=True)
    ),
)
"""Tokens of the light theme; also what exports use."""

DARK = Look(
    ground="#0F151B",
    line="#27333F",
    line_strong="#607283",
    text="#E6ECF1",
    text_2="#A8B6C2",
    text_3="#8595A3",
    accent="#3FB6C6",
    bad="#FF8A80",
    shade="#161E26",
    series=tuple(
        SeriesLook(dark, dark, marker)
        for (_, _, dark), marker in zip(_SERIES, _MARKERS, strict=True)
    ),
)
"""Tokens of the dark theme."""


def use_fonts(files: Sequence[Path]) -> None:
    """Make font files known to figures, such as the bundled ones."""
    from matplotlib import font_manager

    for file in files:
        font_manager.fontManager.addfont(str(file))
    _installed.cache_clear()


@cache
def _installed() -> frozenset[str]:
    from matplotlib import font_manager

    return frozenset(font_manager.get_font_names())
