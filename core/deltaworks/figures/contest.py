"""Merges against base and experts: one row a method, and the path of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deltaworks.figures.frame import Margins, add_axes, say, title_axes
from deltaworks.figures.look import LIGHT, PT, Look
from deltaworks.studies.contest_record import Contest, Entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EMPTY = "Nothing was measured: give an evaluation set with tasks."
_ROW, _ABOVE, _BELOW = 24, 96, 84
_NARROW = 2.2
"""Percent between two lines whose names would run into each other."""
_NAMES = 250


def best_of_each(contest: Contest) -> list[Entry]:
    """Give every method at its best setting, the best method last (so it is drawn on top)."""
    best: dict[str, Entry] = {}
    for entry in contest.entries:
        if entry.average is None:
            continue
        name = entry.title if entry.pre is None else f"{entry.pre['method']} + {entry.title}"
        if name not in best or (best[name].average or 0.0) < entry.average:
            best[name] = entry
    return sorted(best.values(), key=lambda one: one.average or 0.0)


def height_of(contest: Contest) -> int:
    """Pixels that the figure needs at 100 %."""
    return _ABOVE + _BELOW + _ROW * max(6, len(best_of_each(contest)))


def draw_contest(figure: Figure, contest: Contest, *, look: Look = LIGHT) -> Axes:
    """Draw for every method what its average gains over the base, and a mark for each task.

    Lines are the base, each expert alone, and the experts each on its own task.
    """
    figure.clear()
    axes = add_axes(figure, look, Margins(left=_NAMES, top=_ABOVE, bottom=_BELOW))
    title_axes(axes, look, "Right answers (%)", "")
    entries = best_of_each(contest)
    if not entries:
        axes.set(xticks=[], yticks=[])
        say(axes, look, EMPTY)
        return axes
    axes.grid(False, axis="y")
    rows = range(len(entries))
    start = next((100 * (one.average or 0.0) for one in contest.lines if one.id == "base"), 0.0)
    axes.barh(
        rows,
        [100 * (one.average or 0.0) - start for one in entries],
        left=start,
        height=0.62,
        color=[look.accent if one.winner else look.line_strong for one in entries],
        alpha=0.45,
        zorder=2,
    )
    for place, task in enumerate(contest.tasks):
        series = look.series[place % len(look.series)]
        axes.scatter(
            [100 * one.scores[task].value for one in entries],
            rows,
            s=(6.5 * PT) ** 2,
            marker=series.marker,
            facecolor=series.color,
            edgecolor=series.edge,
            linewidths=PT,
            zorder=4,
            label=contest.tasks[task],
        )
    _draw_lines(axes, contest, look)
    axes.set_yticks(rows, [_label(one) for one in entries])
    axes.set_ylim(-0.6, len(entries) - 0.4)
    axes.set_xlim(*_range(contest, entries))
    _legend(axes, look)
    return axes


def _label(entry: Entry) -> str:
    mark = " *" if entry.switches else ""
    name = entry.title if entry.pre is None else f"{entry.pre['method']} + {entry.title}"
    return ("searched " if entry.origin == "search" else "") + name + mark


def _range(contest: Contest, entries: list[Entry]) -> tuple[float, float]:
    values = [score.value for one in entries for score in one.scores.values()]
    values += [line.average for line in contest.lines if line.average is not None]
    return max(0.0, 100 * min(values) - 6), 102.0


def _draw_lines(axes: Axes, contest: Contest, look: Look) -> None:
    """Mark base, single experts, and the experts each on its own task."""
    style: dict[str, Any] = {
        "fontfamily": look.fonts,
        "fontsize": look.small_size * PT * 0.92,
        "transform": axes.get_xaxis_transform(),
        "rotation": 40,
        "ha": "left",
        "va": "bottom",
    }
    lines = [(f"{line.name}", line.average, line.id == "base") for line in contest.lines]
    lines.append(("experts, each on its own", contest.experts_average, False))
    before = -_NARROW
    for name, value, is_base in sorted(lines, key=lambda one: one[1] or 0.0):
        if value is None:
            continue
        color = look.text_2 if is_base else look.text_3
        dashes = "solid" if is_base else (0, (4, 3))
        axes.axvline(100 * value, color=color, linewidth=1.2 * PT, linestyle=dashes, zorder=3)
        before = max(100 * value, before + _NARROW)
        axes.text(before, 1.008, name, color=color, **style)


def _legend(axes: Axes, look: Look) -> None:
    legend = axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -42 / max(1.0, axes.bbox.height)),
        ncols=4,
        frameon=False,
        prop={"family": look.fonts, "size": look.small_size * PT},
    )
    for text in legend.get_texts():
        text.set_color(look.text_2)


def draw_search(figure: Figure, contest: Contest, *, look: Look = LIGHT) -> Axes:
    """Draw the score of every trial of a search, and the best so far."""
    figure.clear()
    axes = add_axes(figure, look, Margins())
    title_axes(axes, look, "Trial", "Average on the items for choosing (%)")
    methods = list(dict.fromkeys(trial.method for trial in contest.search))
    for place, method in enumerate(methods):
        series = look.series[place % len(look.series)]
        trials = [one for one in contest.search if one.method == method and one.score is not None]
        scores = [100 * (one.score or 0.0) for one in trials]
        numbers = list(range(1, len(trials) + 1))
        best = [max(scores[: number + 1]) for number in range(len(scores))]
        axes.step(numbers, best, where="post", color=series.edge, linewidth=1.6 * PT, zorder=3)
        axes.scatter(
            numbers,
            scores,
            s=(7 * PT) ** 2,
            marker=series.marker,
            facecolor=series.color,
            edgecolor=series.edge,
            linewidths=PT,
            zorder=4,
            label=method,
        )
    if methods:
        legend = axes.legend(
            frameon=False, prop={"family": look.fonts, "size": look.small_size * PT}
        )
        for text in legend.get_texts():
            text.set_color(look.text_2)
    return axes
