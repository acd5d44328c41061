"""Size against quality: the figure that the product is about."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from deltaworks.figures.axis_choices import (
    X_TITLES,
    Y_TITLES,
    Point,
    XChoice,
    YChoice,
    points_of,
)
from deltaworks.figures.frame import Margins, add_axes, pixels, say, title_axes
from deltaworks.figures.labels import BELOW_FIRST, BESIDE_RING, Placer
from deltaworks.figures.legends import ROW, TOP, draw_legend, legend_rows
from deltaworks.figures.look import LIGHT, PT, Look, SeriesLook
from deltaworks.figures.numbers import bytes_text, percent_text
from deltaworks.figures.scales import (
    linear_range,
    log_range,
    log_ticks,
    share_range,
    share_ticks,
)
from deltaworks.figures.ticking import locator
from deltaworks.figures.tradeoff_lines import (
    LABEL_ROW,
    Level,
    draw_filters,
    draw_fronts,
    draw_levels,
    fronts_of,
    levels_of,
    rows_above,
)
from deltaworks.figures.tradeoff_points import (
    POINT,
    RING,
    draw_points,
    draw_ring,
    draw_whisker,
    sample,
)
from deltaworks.figures.tradeoff_styles import Styles, styles_of
from deltaworks.studies.trials import Sweep

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

EMPTY = "No points yet. Each trial adds one when it ends."
_MARGINS = Margins()
_FAR = 3.0  # a base this many times further down than the lowest point is only pointed at


@dataclass(frozen=True, slots=True)
class TradeoffArtists:
    """What was drawn, for picking and for tests.

    Args:
        axes: the only axes.
        points: sweep id, trial number, and place in data coordinates.
        labels: every text beside a mark or a line.
    """

    axes: Axes
    points: list[tuple[str, int, float, float]]
    labels: tuple[Annotation, ...] = ()


def draw_tradeoff(
    figure: Figure,
    sweeps: Sequence[Sweep],
    *,
    look: Look = LIGHT,
    x: XChoice = "size",
    y: YChoice = "quality",
    log_x: bool = True,
    selected: Collection[tuple[str, int]] = (),
    at_least: float | None = None,
    at_most: float | None = None,
) -> TradeoffArtists:
    """Draw size against quality into a figure, which is cleared.

    Shape tells the method, colour the expert when there are several; hollow points are
    estimated from weights, filled ones measured, crosses not usable.

    Args:
        figure: any size; margins are in pixels, so draw again after a resize.
        sweeps: one or more, overlaid.
        look: theme.
        x: bytes, fraction of the full model, or bits a weight.
        y: what the height shows.
        log_x: logarithmic sizes.
        selected: sweep id and trial number of points to ring.
        at_least: quality line; points below are greyed.
        at_most: size line in the unit of ``x``; points beyond are greyed.
    """
    figure.clear()
    styles = styles_of(sweeps, look)
    points = [point for sweep in sweeps for point in points_of(sweep, x, y)]
    levels = levels_of(sweeps, y, name_experts=styles.by_expert)
    by_flag = (x, y) == ("size", "quality")
    has_own = any(front.expert for front in fronts_of(points, by_flag=by_flag))
    width, _ = pixels(figure)
    rows = legend_rows(
        figure, _entries(points, styles, has_own), look, width - _MARGINS.left - _MARGINS.right
    )
    axes = add_axes(figure, look, replace(_MARGINS, top=TOP + ROW * len(rows) + 6))
    title_axes(axes, look, X_TITLES[x], Y_TITLES[y])
    draw_legend(figure, rows, look, _MARGINS.left)
    _set_ranges(axes, points, levels, x, log_x, (at_least, at_most))
    if not points:
        say(axes, look, EMPTY)
    greyed = {point.key for point in points if _is_out(point, at_least, at_most)}
    points = _pinned(axes, points, look)
    fronts = fronts_of(points, by_flag=by_flag)
    draw_filters(axes, look, at_least, at_most)
    placer = Placer(axes)
    for line in draw_fronts(axes, fronts, styles):
        placer.avoid_steps(line)
    draw_points(axes, points, styles, greyed)
    labels = _annotate(placer, points, levels, styles, set(selected), (x, y))
    places = [(*point.key, point.x, point.y) for point in points]
    return TradeoffArtists(axes, places, labels)


def describe_tradeoff(
    sweeps: Sequence[Sweep], *, x: XChoice = "size", y: YChoice = "quality"
) -> str:
    """Say in a sentence what the figure shows, for those who do not see it."""
    points = [p for sweep in sweeps for p in points_of(sweep, x, y) if p.is_usable]
    if not points:
        return EMPTY
    best = [p for p in points if p.trial.recommended] or [max(points, key=lambda p: (p.y, -p.x))]
    n, on_front = len(points), sum(point.trial.on_front for point in points)
    picks = ", ".join(f"{_x_text(p.x, x)} at {percent_text(p.y)}" for p in best)
    return f"{n} point{'' if n == 1 else 's'}, {on_front} on the front; best: {picks}"


def _entries(points: Sequence[Point], styles: Styles, has_own: bool) -> list[tuple[Artist, str]]:
    """List what the legend explains: only what is drawn."""
    look = styles.look
    neutral = SeriesLook(look.text_2, look.text_2, "o")
    used = {point.trial.method for point in points}
    entries: list[tuple[Artist, str]] = []
    for method, title in styles.methods.items():
        if method in used:
            series = styles.of_method(method)
            mark = replace(neutral, marker=series.marker) if styles.by_expert else series
            entries.append((sample(mark), title))
    if styles.by_expert:
        entries += [(_expert_sample(expert, styles, has_own), expert) for expert in styles.experts]
    usable = [point for point in points if point.is_usable]
    if not all(point.is_measured for point in usable):
        entries.append((sample(neutral, fill=look.ground), "estimated"))
    if len(usable) < len(points):
        cross = SeriesLook(look.bad, look.bad, "x")
        entries.append((sample(cross, fill=look.bad), "not usable"))
    return entries


def _expert_sample(expert: str, styles: Styles, has_own: bool) -> Artist:
    """A point with its inner mark, on a piece of its front if it has its own."""
    from matplotlib.lines import Line2D

    color = styles.of_expert(expert)
    mark = styles.inner_mark(expert)
    line = Line2D([], [], color=color.edge, linewidth=1.6 * PT if has_own else 0)
    line.set_linestyle(styles.dashes(expert))  # type: ignore[arg-type]  # tuples are dashes
    line.set(marker="o", markersize=POINT * PT)
    line.set(markerfacecolor=color.color, markeredgecolor=color.edge, markeredgewidth=PT)
    return line if not mark else (line, _inner_sample(mark, styles.look.ground))  # type: ignore[return-value]  # a tuple overlays


def _inner_sample(mark: str, color: str) -> Artist:
    from matplotlib.lines import Line2D

    size = (6.0 if mark == "." else 5.0) * PT
    return Line2D([], [], linestyle="none", marker=mark, color=color, markersize=size)


def _set_ranges(
    axes: Axes,
    points: Sequence[Point],
    levels: Sequence[Level],
    x: XChoice,
    log_x: bool,
    lines: tuple[float | None, float | None],
) -> None:
    from matplotlib.ticker import NullLocator

    at_least, at_most = lines
    across = [point.x for point in points] + ([] if at_most is None else [at_most])
    width, height = axes.bbox.width, axes.bbox.height
    scale = axes.figure.dpi / 100
    if across:
        low, high = log_range(across) if log_x else linear_range(across)
        axes.set_xscale("log" if log_x else "linear")
        axes.set_xlim(low, high)
        if log_x:
            most = max(2, int(width / scale / 130))
            axes.xaxis.set_major_locator(locator(lambda a, b: log_ticks(a, b, most)))
            axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: _x_text(value, x))
        axes.minorticks_off()
    else:
        axes.set_xticks([])
    room = (15 + LABEL_ROW * max(1, rows_above(levels))) * scale / height
    low, high = share_range(_heights(points, levels, at_least), min(0.5, room))
    axes.set_ylim(low, high)
    rows = max(3, int(height / scale / 44))
    axes.yaxis.set_major_locator(locator(lambda a, b: share_ticks(a, b, rows)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")


def _heights(
    points: Sequence[Point], levels: Sequence[Level], at_least: float | None
) -> list[float]:
    """List the heights to show; a base far below everything is left to an arrow."""
    heights = [point.y for point in points if isfinite(point.y)]
    if at_least is not None:
        heights.append(at_least)
    depth = 1.0 - min(heights, default=0.0)
    near = [level.y for level in levels if 1.0 - level.y <= max(_FAR * depth, 0.05)]
    return heights + near


def _pinned(axes: Axes, points: Sequence[Point], look: Look) -> list[Point]:
    """Hold points that lie below the axes just above their lower edge, with an arrow down."""
    bottom, top = axes.get_ylim()
    pixel = (top - bottom) * axes.figure.dpi / 100 / axes.bbox.height
    held = []
    for point in points:
        if not (isfinite(point.y) and point.y >= bottom):
            point = replace(point, y=bottom + 16 * pixel, low=None, high=None)
            place, size = bottom + 4 * pixel, 5 * PT
            axes.plot([point.x], [place], marker="v", color=look.text_3, markersize=size, zorder=4)
        held.append(point)
    return held


def _is_out(point: Point, at_least: float | None, at_most: float | None) -> bool:
    too_bad = at_least is not None and point.y < at_least
    return too_bad or (at_most is not None and point.x > at_most)


def _annotate(
    placer: Placer,
    points: Sequence[Point],
    levels: Sequence[Level],
    styles: Styles,
    selected: Collection[tuple[str, int]],
    shown: tuple[XChoice, YChoice],
) -> tuple[Annotation, ...]:
    """Draw rings and write labels, the most wanted first."""
    look, axes = styles.look, placer.axes
    placer.take_points([(point.x, point.y) for point in points], POINT + 2)
    chosen = [point for point in points if point.trial.recommended and point.is_usable]
    placer.take_points([(point.x, point.y) for point in chosen], RING + 2)
    style: dict[str, Any] = {"fontfamily": look.fonts, "fontsize": look.small_size * PT}
    for point in points:
        if point.key in selected:
            draw_whisker(axes, point, look.text)
            draw_ring(axes, point, look.text, size=RING - 5)
    draw_levels(axes, levels, look, placer)
    for point in chosen:
        draw_whisker(axes, point, look.accent)
        draw_ring(axes, point, look.accent)
        unit = " bits" if shown[0] == "bpw" else ""
        text = f"★ {_x_text(point.x, shown[0])}{unit}, {percent_text(point.y)}"
        placer.put(
            text, (point.x, point.y), BESIDE_RING, **style, color=look.accent, fontweight=700
        )
    for point in points:
        if point.trial.is_exact and point.is_usable:
            place = (point.x, point.y)
            placer.put("lossless", place, BELOW_FIRST, required=False, **style, color=look.text_2)
    return tuple(placer.texts)


def _x_text(value: float, x: XChoice) -> str:
    if x == "size":
        return bytes_text(value)
    if x == "ratio":
        return f"{100 * value:.3g} %"
    return f"{value:.3g}"
