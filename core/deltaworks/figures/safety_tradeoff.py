"""Refusals against skill: every method's curve, both ends as stars, over-refusal beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deltaworks.figures.frame import Margins, add_axes, pixels, say, title_axes
from deltaworks.figures.legends import ROW, TOP, draw_legend, legend_rows
from deltaworks.figures.look import LIGHT, PT, Look, SeriesLook
from deltaworks.studies.trials import Reference, Sweep, Trial

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EMPTY = "No repairs yet. Each adds a point when it is measured."
_POINT, _STAR, _GAP = 7.0, 15.0, 90.0
_NEAR = 0.03
"""A point so near to a star has no label of its own."""
_PANEL = 0.34
"""Share of the width for over-refusals."""


@dataclass(frozen=True, slots=True)
class SafetyArtists:
    """What was drawn, for picking and for tests.

    Args:
        axes: refusals against skill.
        beside: over-refusals, or None where none were measured.
        points: sweep id, trial number, and place in data coordinates.
    """

    axes: Axes
    beside: Axes | None
    points: list[tuple[str, int, float, float]]


def draw_safety_tradeoff(
    figure: Figure, sweeps: Sequence[Sweep], *, look: Look = LIGHT, target: float | None = None
) -> SafetyArtists:
    """Draw repairs into a figure, which is cleared.

    Args:
        figure: any size.
        sweeps: of repairs of one fine-tune; their methods share the plot.
        look: theme.
        target: refusal rate that the chosen point should reach; a line.
    """
    figure.clear()
    lines = _lines(sweeps)
    shown = [trial for _, trials in lines.values() for _, trial in trials]
    has_over = any("over-refusal" in trial.measures for trial in shown)
    references = [one for sweep in sweeps for one in sweep.references]
    series = {name: look.series[n % len(look.series)] for n, name in enumerate(lines)}
    width, _ = pixels(figure)
    rows = legend_rows(figure, _entries(lines, series, references, look), look, width - 96)
    top = TOP + ROW * len(rows) + 8
    right = width * _PANEL + _GAP if has_over else 28.0
    axes = add_axes(figure, look, Margins(right=right, top=top))
    draw_legend(figure, rows, look, 68)
    is_proxy = any(trial.measures["refusal"]["is_estimate"] for trial in shown)
    title_axes(axes, look, *_titles(shown, is_proxy))
    if not shown:
        say(axes, look, EMPTY)
    ends = [_place(one.measures) for one in references if _is_shown(one)]
    points = _draw_curves(axes, lines, series, look, ends)
    _draw_front(axes, shown, look)
    _draw_ends(axes, references, look)
    if target is not None and shown:
        axes.axhline(target, color=look.accent, linewidth=PT, linestyle=(0, (4, 3)), zorder=1)
    _percent(axes)
    beside = _draw_over(figure, lines, series, look, top) if has_over else None
    return SafetyArtists(axes, beside, points)


_Lines = dict[str, tuple[str, list[tuple[str, Trial]]]]
"""Method id to its title and its measured trials with their sweeps' ids, by budget."""


def _lines(sweeps: Sequence[Sweep]) -> _Lines:
    lines: _Lines = {}
    for sweep in sweeps:
        for trial in sweep.trials:
            if trial.state == "done" and {"utility", "refusal"} <= set(trial.measures):
                _, trials = lines.setdefault(trial.method, (trial.title, []))
                trials.append((sweep.id, trial))
    return lines


def _place(measures: dict[str, dict[str, Any]]) -> tuple[float, float]:
    return measures["utility"]["value"], measures["refusal"]["value"]


def _draw_curves(
    axes: Axes,
    lines: _Lines,
    series: dict[str, SeriesLook],
    look: Look,
    ends: Sequence[tuple[float, float]],
) -> list[tuple[str, int, float, float]]:
    points = []
    for name, (_, trials) in lines.items():
        own = series[name]
        places = [_place(trial.measures) for _, trial in trials]
        across, up = zip(*places, strict=True)
        axes.plot(across, up, color=own.edge, linewidth=1.4 * PT, alpha=0.7, zorder=2)
        for (sweep, trial), (x, y) in zip(trials, places, strict=True):
            _bars(axes, trial.measures, own)
            axes.plot(
                [x],
                [y],
                own.marker,
                color=own.color,
                markeredgecolor=own.edge,
                markersize=_POINT * PT,
                fillstyle="none" if trial.measures["refusal"]["is_estimate"] else "full",
                zorder=4,
            )
            if trial.recommended:
                _ring(axes, (x, y), trial, look)
            elif not any(abs(x - a) + abs(y - b) < _NEAR for a, b in ends):
                _label(axes, (x, y), _budget(trial), look.text_3, look)
            points.append((sweep, trial.number, x, y))
    return points


def _bars(axes: Axes, measures: dict[str, dict[str, Any]], own: SeriesLook) -> None:
    """Draw both intervals."""
    x, y = _place(measures)
    style: dict[str, Any] = {"color": own.edge, "linewidth": PT, "alpha": 0.35, "zorder": 2}
    low, high = measures["refusal"]["low"], measures["refusal"]["high"]
    if low is not None and high is not None:
        axes.plot([x, x], [low, high], **style)
    low, high = measures["utility"]["low"], measures["utility"]["high"]
    if low is not None and high is not None:
        axes.plot([low, high], [y, y], **style)


def _ring(axes: Axes, place: tuple[float, float], trial: Trial, look: Look) -> None:
    x, y = place
    axes.plot(
        [x],
        [y],
        "o",
        fillstyle="none",
        color=look.accent,
        markersize=17 * PT,
        markeredgewidth=1.8 * PT,
        zorder=5,
    )
    _label(axes, place, f"\u2605 {trial.title} {trial.settings}".rstrip(), look.accent, look, 700)


def _label(
    axes: Axes,
    place: tuple[float, float],
    text: str,
    color: str,
    look: Look,
    weight: int = 400,
) -> None:
    axes.annotate(
        text,
        place,
        xytext=(7 * PT, 6 * PT),
        textcoords="offset points",
        color=color,
        fontfamily=look.fonts,
        fontsize=look.small_size * PT * (1.0 if weight > 400 else 0.85),
        fontweight=weight,
        zorder=6,
    )


def _budget(trial: Trial) -> str:
    """The value of what was varied, without its name."""
    return trial.settings.rsplit(" ", 1)[-1] if trial.settings else ""


def _draw_front(axes: Axes, shown: Sequence[Trial], look: Look) -> None:
    """Shade what some repair reaches."""
    places = sorted(_place(trial.measures) for trial in shown if trial.on_front)
    if not places:
        return
    across = [0.0, *(x for x, _ in places)]
    up = [places[0][1], *(y for _, y in places)]
    axes.fill_between(across, up, step="pre", color=look.accent, alpha=0.07, linewidth=0, zorder=0)


def _draw_ends(axes: Axes, references: Sequence[Reference], look: Look) -> None:
    """Mark aligned model and fine-tune with stars."""
    for reference in references:
        if not _is_shown(reference):
            continue
        x, y = _place(reference.measures)
        axes.plot(
            [x], [y], "*", color=_star_color(reference, look), markersize=_STAR * PT, zorder=5
        )


def _is_shown(reference: Reference) -> bool:
    return {"utility", "refusal"} <= set(reference.measures)


def _star_color(reference: Reference, look: Look) -> str:
    return look.accent if reference.id == "base" else look.bad


def _entries(
    lines: _Lines,
    series: dict[str, SeriesLook],
    references: Sequence[Reference],
    look: Look,
) -> list[tuple[Artist, str]]:
    from matplotlib.lines import Line2D

    entries: list[tuple[Artist, str]] = []
    for name, (title, _) in lines.items():
        own = series[name]
        mark = Line2D([], [], color=own.edge, linewidth=1.4 * PT, marker=own.marker)
        mark.set(markersize=_POINT * PT, markerfacecolor=own.color)
        entries.append((mark, title))
    for reference in {one.label: one for one in references}.values():
        star = Line2D([], [], linestyle="none", marker="*", markersize=_STAR * PT)
        star.set_color(_star_color(reference, look))
        entries.append((star, reference.label))
    return entries


def _titles(shown: Sequence[Trial], is_proxy: bool) -> tuple[str, str]:
    if not shown:
        return "Skill (%)", "Refusal rate by keywords (%)"
    utility, refusal = (shown[0].measures[name]["title"] for name in ("utility", "refusal"))
    mark = " \u2013 proxy" if is_proxy else ""
    return f"{utility} (%){mark}", f"{refusal} (%){mark}"


def _percent(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.0) if low < 0.25 else low, high + 0.06 * (high - low))
    axes.set_ylim(min(-0.05, axes.get_ylim()[0]), max(1.07, axes.get_ylim()[1]))


def _draw_over(
    figure: Figure, lines: _Lines, series: dict[str, SeriesLook], look: Look, top: float
) -> Axes:
    """Draw over-refusals by budget, each method over its own range."""
    width, _ = pixels(figure)
    axes = add_axes(figure, look, Margins(left=width * (1 - _PANEL) - 10, top=top))
    title_axes(axes, look, "Budget", "Over-refusal (%)")
    for name, (_, trials) in lines.items():
        own = series[name]
        found = [(_number(trial), trial.measures.get("over-refusal")) for _, trial in trials]
        pairs = [(x, one["value"]) for x, one in found if x is not None and one]
        if pairs:
            across, up = zip(*sorted(pairs), strict=True)
            style: dict[str, Any] = {"color": own.edge, "linewidth": 1.4 * PT}
            axes.plot(across, up, marker=own.marker, markersize=_POINT * PT, **style)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    axes.set_ylim(-0.02, max(0.1, 1.1 * axes.get_ylim()[1]))
    return axes


def _number(trial: Trial) -> float | None:
    try:
        return float(_budget(trial))
    except ValueError:
        return None
