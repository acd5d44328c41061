"""Which layers pay: relative error of every tensor, by block."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltaworks.engine.reports import TensorReport
from deltaworks.figures.frame import Margins, add_axes, pixels, say, title_axes
from deltaworks.figures.look import LIGHT, PT, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EMPTY = "No tensor lost anything: every one is stored exactly."
_BLOCK = re.compile(r"\.(\d+)\.")
_OTHER = -1


@dataclass(frozen=True, slots=True)
class BlockError:
    """One block's share of the loss.

    Args:
        block: index; -1 collects tensors outside blocks.
        error: squared error over energy, pooled over its lossy tensors, a fraction.
        parts: the same for each of them, by name.
    """

    block: int
    error: float
    parts: tuple[tuple[str, float], ...]


def block_errors(tensors: Sequence[TensorReport]) -> list[BlockError]:
    """Pool the lossy tensors of each block by the energy of their deltas."""
    groups: dict[int, list[TensorReport]] = defaultdict(list)
    for tensor in tensors:
        if tensor.error > 0.0:
            found = _BLOCK.search(tensor.name)
            groups[int(found.group(1)) if found else _OTHER].append(tensor)
    return [_pool(block, groups[block]) for block in sorted(groups)]


def _pool(block: int, members: Sequence[TensorReport]) -> BlockError:
    weights = [t.delta_energy for t in members]
    if sum(weights) <= 0.0:  # older reports do not tell: weigh by count
        weights = [float(t.n_elements) for t in members]
    error = sum(t.error * w for t, w in zip(members, weights, strict=True)) / sum(weights)
    return BlockError(block, error, tuple((t.name, t.error) for t in members))


def draw_layers(
    figure: Figure, tensors: Sequence[TensorReport], *, look: Look = LIGHT
) -> tuple[Axes, list[BlockError]]:
    """Draw a bar a block with a dot for each tensor, into a figure that is cleared."""
    figure.clear()
    axes = add_axes(figure, look, Margins())
    title_axes(axes, look, "Block", "Error of the delta (%)")
    errors = block_errors(tensors)
    axes.grid(False, axis="x")
    if not errors:
        axes.set(xticks=[], yticks=[])
        say(axes, look, EMPTY)
        return axes, errors
    series = look.series[0]
    places = range(len(errors))
    axes.bar(
        places, [b.error for b in errors], width=0.62, color=series.color, alpha=0.35, zorder=2
    )
    dots = [(place, value) for place, b in zip(places, errors, strict=True) for _, value in b.parts]
    axes.scatter(
        [place for place, _ in dots],
        [value for _, value in dots],
        s=(6 * PT) ** 2,
        color=series.edge,
        linewidths=0,
        zorder=3,
    )
    _set_block_ticks(axes, errors, pixels(figure)[0])
    axes.set_ylim(0, 1.08 * max(value for _, value in dots))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}")
    return axes, errors


def _set_block_ticks(axes: Axes, errors: Sequence[BlockError], width: float) -> None:
    every = max(1, round(len(errors) * 34 / width))
    shown = [place for place in range(len(errors)) if place % every == 0]
    names = ["other" if errors[p].block == _OTHER else str(errors[p].block) for p in shown]
    axes.set_xticks(shown, names)
    axes.set_xlim(-0.7, len(errors) - 0.3)
