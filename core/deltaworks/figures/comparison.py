"""Bits a weight against what is recovered, one line a method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.figures.frame import Margins, add_axes, say, title_axes
from deltaworks.figures.look import LIGHT, PT, Look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from deltaworks.studies.comparison import Comparison

_UP = {
    "recovered": "Recovered fraction",
    "kl": "KL from the expert, nats a token",
    "accuracy": "Accuracy on its own task",
    "fidelity": "1 - relative squared error",
}
_LEAST = -0.1


def draw_comparison(
    figure: Figure, found: Comparison, *, expert: str, y: str = "recovered", look: Look = LIGHT
) -> None:
    """Draw one expert's entries; RDC stands out, as the one that meets any size.

    Args:
        figure: a clear one.
        found: the comparison.
        expert: whose entries.
        y: ``recovered``, ``kl``, ``accuracy`` or ``fidelity``.
        look: colours and fonts.
    """
    axes = add_axes(figure, look, Margins(right=250))
    title_axes(axes, look, "Bits a weight, everything counted", _UP[y])
    mine = [one for one in found.entries if one.expert == expert and not one.reason]
    points = [(one, getattr(one, y)) for one in mine]
    points = [(one, value) for one, value in points if value is not None]
    if not points:
        say(axes, look, "Nothing was measured.")
        return
    titles = dict.fromkeys(one.title for one, _ in points)
    for number, title in enumerate(titles):
        series = look.series[number % len(look.series)]
        line = sorted((one.bits, value) for one, value in points if one.title == title)
        is_ours = any(one.title == title and one.method == "rdc" for one, _ in points)
        axes.plot(
            [bits for bits, _ in line],
            [value for _, value in line],
            label=title,
            color=look.accent if is_ours else series.color,
            marker=series.marker,
            markersize=(7 if is_ours else 5) * PT,
            linewidth=(2.4 if is_ours else 1.2) * PT,
            linestyle="-" if is_ours or number < len(look.series) else "--",
            zorder=3 if is_ours else 2,
        )
    axes.set_xscale("log", base=2)
    ticks = sorted(found.budgets)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    if y == "kl":
        axes.set_yscale("log")
    else:
        axes.set_ylim(max(_LEAST, min(value for _, value in points) - 0.03), 1.03)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        prop={"family": look.fonts, "size": look.small_size * PT},
        labelcolor=look.text_2,
    )
