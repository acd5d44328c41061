"""A transfer in pictures: what was chosen, how alike the models are, what training made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deltaworks.figures.frame import Margins, add_axes, say, title_axes
from deltaworks.figures.look import LIGHT, PT, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = "viridis"


def draw_arm_losses(
    figure: Figure, arms: Sequence[Mapping[str, Any]], *, on: str = "held_out", look: Look = LIGHT
) -> Axes:
    """Draw the measured loss of every arm over the steps, into a figure that is cleared.

    Args:
        figure: where.
        arms: as in the report, the method first; it stands out.
        on: ``held_out`` or ``control_data``.
        look: colours and fonts.
    """
    figure.clear()
    axes = add_axes(figure, look, Margins(right=240))
    title_axes(axes, look, "Steps", "Loss, nats an answer token")
    lines = [
        (arm["title"], [(step, found[on]) for step, found in arm["measures"] if on in found])
        for arm in arms
    ]
    if not any(points for _, points in lines):
        say(axes, look, "Nothing was measured.")
        return axes
    for number, (title, points) in enumerate(lines):
        series = look.series[number % len(look.series)]
        axes.plot(
            [step for step, _ in points],
            [loss for _, loss in points],
            label=title,
            color=look.accent if number == 0 else series.color,
            marker=series.marker,
            markersize=6 * PT,
            linewidth=(2.4 if number == 0 else 1.4) * PT,
            zorder=3 if number == 0 else 2,
        )
    _legend(axes, look)
    return axes


def draw_layer_scores(
    figure: Figure, scores: Sequence[float], chosen: Sequence[int], *, look: Look = LIGHT
) -> Axes:
    """Draw a bar a source layer; those that are taken stand out."""
    figure.clear()
    axes = add_axes(figure, look, Margins())
    title_axes(axes, look, "Layer of the source", "Sensitivity")
    axes.grid(False, axis="x")
    taken = set(chosen)
    colours = [look.accent if place in taken else look.line_strong for place in range(len(scores))]
    axes.bar(range(len(scores)), scores, width=0.7, color=colours, zorder=2)
    every = max(1, len(scores) // 20)
    axes.set_xticks(range(0, len(scores), every))
    return axes


def draw_window(figure: Figure, heat: Mapping[str, Any], *, look: Look = LIGHT) -> Axes:
    """Draw one matrix's sensitivities, summed over cells, and the window that was taken."""
    from matplotlib.patches import Rectangle

    figure.clear()
    axes = add_axes(figure, look, Margins(left=80))
    title_axes(axes, look, f"Inputs of {heat['tensor']}", "Outputs")
    axes.grid(False)
    height, width = heat["shape"]
    axes.imshow(heat["cells"], extent=(0, width, height, 0), aspect="auto", cmap=_COLOURS, zorder=1)
    (top, bottom), (left, right) = heat["rows"], heat["cols"]
    edge = Rectangle((left, top), right - left, bottom - top, fill=False, zorder=3)
    edge.set(edgecolor=look.bad, linewidth=2.5 * PT)
    axes.add_patch(edge)
    return axes


def draw_similarity(figure: Figure, found: Mapping[str, Any], *, look: Look = LIGHT) -> list[Axes]:
    """Draw a panel a module kind: layers of the target up, of the source across.

    The unbiased estimate is drawn where there is one; the title says which.
    """
    figure.clear()
    figure.set_facecolor(look.ground)
    kinds = found["kinds"]
    every = list(figure.subplots(1, max(1, len(kinds)), squeeze=False)[0])
    for axes, kind in zip(every, kinds, strict=False):
        name = "unbiased" if "unbiased" in kind else "cka"
        picture = axes.imshow(
            kind[name],
            origin="lower",
            aspect="auto",
            cmap=_COLOURS,
            vmin=min(0.0, _least(kind)),
            vmax=1.0,
        )
        title_axes(axes, look, "Layer of the source", "Layer of the target")
        words = "unbiased CKA" if name == "unbiased" else "CKA, biased"
        axes.set_title(f"{kind['layer']}\n{words}", fontfamily=look.fonts, color=look.text_2)
        axes.tick_params(labelcolor=look.text_2, labelsize=look.small_size * PT)
        for axis, count in ((axes.xaxis, len(kind[name][0])), (axes.yaxis, len(kind[name]))):
            axis.set_ticks(range(0, count, max(1, count // 8)))
        scale = figure.colorbar(picture, ax=axes)
        scale.ax.tick_params(labelcolor=look.text_2, labelsize=look.small_size * PT)
    figure.subplots_adjust(left=0.05, right=0.98, bottom=0.18, top=0.82, wspace=0.4)
    return every


def draw_start_cosines(
    figure: Figure, matrices: Sequence[Mapping[str, Any]], *, look: Look = LIGHT
) -> Axes:
    """Draw the cosines of every start with its weight, and with what is left of that."""
    figure.clear()
    axes = add_axes(figure, look, Margins(right=300))
    title_axes(axes, look, "Layer of the target", "Cosine")
    names = {
        "cosine_weight": "Transferred, with the weight",
        "cosine_rest": "Transferred, with the rest",
        "pissa_cosine_weight": "PiSSA, with the weight",
        "pissa_cosine_rest": "PiSSA, with the rest",
    }
    for number, (key, title) in enumerate(names.items()):
        points = [(one["block"], one[key]) for one in matrices if key in one]
        if not points:
            continue
        series = look.series[number]
        axes.scatter(
            [block for block, _ in points],
            [value for _, value in points],
            s=(6 * PT) ** 2,
            color=series.color,
            marker=series.marker,
            label=title,
            zorder=3,
        )
    axes.set_xticks(sorted({one["block"] for one in matrices}))
    _legend(axes, look)
    return axes


def _least(kind: Mapping[str, Any]) -> float:
    return min(float(value) for row in kind.get("unbiased", kind["cka"]) for value in row)


def _legend(axes: Axes, look: Look) -> None:
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        prop={"family": look.fonts, "size": look.small_size * PT},
        labelcolor=look.text_2,
    )
