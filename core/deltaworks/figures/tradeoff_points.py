"""The marks of a trade-off: points, rings, crosses, whiskers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from deltaworks.figures.axis_choices import Point
from deltaworks.figures.look import PT, SeriesLook
from deltaworks.figures.tradeoff_styles import Styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

POINT = 10.0
"""Pixels across a point; a ring is ``RING``."""
RING = 22.0
MANY = 2000
"""Above, marks lose their edges and are rasterised in exports."""
_SHAPE_SIZE = {"D": 0.82, "^": 1.08, "v": 1.08, "P": 1.12, "s": 0.9}


def draw_points(
    axes: Axes, points: Sequence[Point], styles: Styles, greyed: Collection[tuple[str, int]]
) -> None:
    """Draw every point, one collection for each look."""
    groups: dict[tuple[Any, ...], list[Point]] = defaultdict(list)
    for point in points:
        trial = point.trial
        look = styles.of(trial.method, trial.expert, is_exact=trial.is_exact)
        mark = styles.inner_mark(trial.expert)
        groups[look, mark, point.is_measured, point.is_usable, point.key in greyed].append(point)
    is_many = len(points) > MANY
    for (look, mark, is_measured, is_usable, is_grey), members in groups.items():
        if not is_usable:
            _crosses(axes, members, styles, is_many)
            continue
        if is_grey:
            look = SeriesLook(styles.look.line_strong, styles.look.line_strong, look.marker)
        _marks(axes, members, styles, look, is_measured, is_many, 0.45 if is_grey else 1.0)
        if mark and not is_many:
            inner = styles.look.ground if is_measured else look.edge
            _inner(axes, members, mark, inner)


def _marks(
    axes: Axes,
    members: Sequence[Point],
    styles: Styles,
    look: SeriesLook,
    is_measured: bool,
    is_many: bool,
    alpha: float,
) -> None:
    axes.scatter(
        [point.x for point in members],
        [point.y for point in members],
        s=area(POINT, look.marker),
        marker=look.marker,
        facecolors=look.color if is_measured else styles.look.ground,
        edgecolors=look.edge,
        linewidths=0 if is_many and is_measured else (1.0 if is_measured else 1.8) * PT,
        alpha=alpha,
        rasterized=is_many,
        clip_on=False,
        zorder=5,
    )


def _crosses(axes: Axes, members: Sequence[Point], styles: Styles, is_many: bool) -> None:
    axes.scatter(
        [point.x for point in members],
        [point.y for point in members],
        s=area(POINT * 0.8, "x"),
        marker="x",
        color=styles.look.bad,
        linewidths=2 * PT,
        rasterized=is_many,
        clip_on=False,
        zorder=5,
    )


def _inner(axes: Axes, members: Sequence[Point], mark: str, color: str) -> None:
    size = 6.0 if mark == "." else 5.0
    axes.scatter(
        [point.x for point in members],
        [point.y for point in members],
        s=area(size, mark),
        marker=mark,
        color=color,
        linewidths=0 if mark == "." else 1.4 * PT,
        clip_on=False,
        zorder=5.1,
    )


def draw_ring(axes: Axes, point: Point, color: str, *, size: float = RING) -> None:
    """Draw a ring around a point."""
    axes.scatter(
        [point.x],
        [point.y],
        s=area(size, "o"),
        marker="o",
        facecolors="none",
        edgecolors=color,
        linewidths=2 * PT,
        clip_on=False,
        zorder=6,
    )


def draw_whisker(axes: Axes, point: Point, color: str) -> None:
    """Draw the 95 % interval of a point, if it has one."""
    if point.low is not None and point.high is not None:
        axes.plot(
            [point.x, point.x],
            [point.low, point.high],
            color=color,
            linewidth=1.2 * PT,
            marker="_",
            markersize=9 * PT,
            zorder=4,
        )


def area(size: float, marker: str) -> float:
    """Give matplotlib's area for a mark ``size`` pixels across."""
    return (size * _SHAPE_SIZE.get(marker, 1.0) * PT) ** 2


def sample(look: SeriesLook, *, fill: str | None = None, marker: str = "") -> Line2D:
    """Give a legend's handle that looks like a point."""
    from matplotlib.lines import Line2D

    shape = marker or look.marker
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=shape,
        markersize=area(POINT, shape) ** 0.5,
        markerfacecolor=look.color if fill is None else fill,
        markeredgecolor=look.edge,
        markeredgewidth=PT * (1.0 if fill is None else 1.8),
    )
