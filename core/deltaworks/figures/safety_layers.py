"""Which layers were repaired: block by module, as heat maps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deltaworks.figures.frame import Margins, add_axes, pixels, say, title_axes
from deltaworks.figures.look import LIGHT, PT, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EMPTY = "No layer was repaired."
_SHARES = (
    ("admitted_share", "Share let back in"),
    ("removed_share", "Share removed"),
    ("projected", "Projected"),
    ("blended", "Blended"),
    ("change_left", "Share of the change left"),
)
_DAMAGE = ("damage_share", "Share of the damage left")
_NAME = re.compile(r"\.(\d+)\.(.+?)(?:\.weight)?$")


@dataclass(frozen=True, slots=True)
class HeatMap:
    """One panel.

    Args:
        title: for people.
        blocks: across; ``modules`` up.
        modules: see ``blocks``.
        values: ``[module][block]``; None where there is none.
    """

    title: str
    blocks: tuple[int, ...]
    modules: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


def heat_maps(layers: Mapping[str, Mapping[str, Any]]) -> list[HeatMap]:
    """Arrange the facts of a repair's layers: what was kept or removed, and the damage."""
    found: dict[tuple[str, int], Mapping[str, Any]] = {}
    for name, facts in layers.items():
        match = _NAME.search(name)
        if match:
            found[match[2], int(match[1])] = {**facts, "change_left": _left(facts)}
    if not found:
        return []
    first = next(iter(found.values()))
    share = next((one for one in _SHARES if one[0] in first), _SHARES[-1])
    wanted = [share, *([_DAMAGE] if _DAMAGE[0] in first else [])]
    blocks = tuple(sorted({block for _, block in found}))
    modules = tuple(dict.fromkeys(module for module, _ in found))
    return [
        HeatMap(
            title,
            blocks,
            modules,
            tuple(
                tuple(found.get((module, block), {}).get(key) for block in blocks)
                for module in modules
            ),
        )
        for key, title in wanted
    ]


def _left(facts: Mapping[str, Any]) -> float:
    before = facts.get("delta_norm", 0.0)
    return float(facts.get("out_norm", 0.0) / before) ** 2 if before else 0.0


def draw_safety_layers(
    figure: Figure, layers: Mapping[str, Mapping[str, Any]], *, look: Look = LIGHT
) -> list[HeatMap]:
    """Draw a panel for what was kept and one for the damage, into a figure that is cleared."""
    figure.clear()
    maps = heat_maps(layers)
    if not maps:
        axes = add_axes(figure, look, Margins())
        axes.set(xticks=[], yticks=[])
        say(axes, look, EMPTY)
        return maps
    width, _ = pixels(figure)
    room = width / len(maps)
    for number, one in enumerate(maps):
        margins = Margins(left=room * number + 205, right=room * (len(maps) - 1 - number) + 60)
        _draw(figure, add_axes(figure, look, margins), one, look)
    return maps


def _draw(figure: Figure, axes: Axes, one: HeatMap, look: Look) -> None:
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap

    colors = LinearSegmentedColormap.from_list("repair", [look.shade, look.accent])
    values = np.array(
        [[np.nan if v is None else v for v in row] for row in one.values], dtype=float
    )
    axes.grid(False)
    picture = axes.imshow(values, cmap=colors, vmin=0.0, vmax=max(1.0, np.nanmax(values)))
    axes.set_aspect("auto")
    title_axes(axes, look, f"{one.title}, by block", "")
    axes.set_yticks(range(len(one.modules)), one.modules)
    axes.set_xticks(*_ticks(one.blocks))
    bar = figure.colorbar(picture, ax=axes, pad=0.02, fraction=0.05)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=look.small_size * PT, labelcolor=look.text_2)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")


def _ticks(blocks: Sequence[int]) -> tuple[list[int], list[str]]:
    every = max(1, len(blocks) // 12)
    places = list(range(0, len(blocks), every))
    return places, [str(blocks[place]) for place in places]
