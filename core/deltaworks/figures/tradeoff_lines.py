"""The lines of a trade-off: front, references, filters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deltaworks.figures.axis_choices import Point, YChoice, measure_of
from deltaworks.figures.labels import Placer, Side
from deltaworks.figures.look import PT, Look
from deltaworks.figures.numbers import bytes_text
from deltaworks.figures.tradeoff_styles import Styles
from deltaworks.studies.front import pareto_front
from deltaworks.studies.trials import Reference, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL_ROW = 16.0
_DASHES: dict[str, Any] = {"expert": (0, (5, 3)), "base": (0, (1.2, 3))}


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line and the texts that stand on it."""

    kind: str
    y: float
    labels: tuple[str, ...]


def levels_of(sweeps: Sequence[Sweep], choice: YChoice, *, name_experts: bool) -> list[Level]:
    """Find the references' heights; those at one height share a line."""
    found: dict[tuple[str, float], list[str]] = defaultdict(list)
    for reference in (line for sweep in sweeps for line in sweep.references):
        y = _height(reference, choice)
        if y is not None:
            label = _label(reference, name_experts)
            if label not in found[reference.id, round(y, 4)]:
                found[reference.id, round(y, 4)].append(label)
    return [Level(kind, y, tuple(labels)) for (kind, y), labels in found.items()]


def _height(reference: Reference, choice: YChoice) -> float | None:
    if choice == "quality":
        return reference.quality
    if choice == "fidelity":  # the base's is 0 by definition and says nothing
        return 1.0 if reference.id == "expert" else None
    return measure_of(reference.measures, choice)[0]


def _label(reference: Reference, name_expert: bool) -> str:
    text = reference.label or ("full expert" if reference.id == "expert" else "base alone")
    if name_expert:
        text = f"{reference.expert}: {text}"
    if reference.id == "expert" and reference.file_bytes:
        text += f" · {bytes_text(reference.file_bytes)}"
    return text


def rows_above(levels: Sequence[Level]) -> int:
    """Rows of text that the highest line needs over it."""
    if not levels:
        return 0
    return len(max(levels, key=lambda level: level.y).labels)


def draw_levels(axes: Axes, levels: Sequence[Level], look: Look, placer: Placer) -> None:
    """Draw reference lines with their labels at the right end.

    A line below the axes is not drawn; its label stands at the bottom with an arrow.
    """
    right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
    style: dict[str, Any] = {
        "fontfamily": look.fonts,
        "fontsize": look.small_size * PT,
        "color": look.text_2,
    }
    for level in sorted(levels, key=lambda level: -level.y):
        is_below = level.y < bottom
        if not is_below:
            axes.axhline(
                level.y,
                color=look.text_3,
                linewidth=1.3 * PT,
                linestyle=_DASHES[level.kind],
                zorder=2,
            )
        place = (right, bottom if is_below else level.y)
        text = "\n".join(f"{label} ↓" if is_below else label for label in level.labels)
        placer.put(text, place, _at_the_end(level.kind), **style, linespacing=1.25)


def _at_the_end(kind: str) -> list[Side]:
    """Above the line at its right end; else clear of points on it, below it, further left."""
    sides = []
    for dx in (-4, -120, -240, -360, -480):
        sides += [Side(dx, dy, "right", "bottom") for dy in (3, 10)]
        if kind == "base":
            sides.append(Side(dx, -4, "right", "top"))
    return sides


@dataclass(frozen=True, slots=True)
class Front:
    """Points that nothing beats, and whose they are.

    Args:
        expert: empty for a front over all experts of a sweep.
        points: by size.
    """

    expert: str
    points: tuple[Point, ...]


def fronts_of(points: Sequence[Point], *, by_flag: bool) -> list[Front]:
    """Find the fronts: one for a sweep that compares all its experts, else one for each.

    Args:
        points: of all sweeps.
        by_flag: take the sweeps' own choice; otherwise find it for the axes shown.
    """
    sweeps: dict[str, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        if point.is_usable and (point.trial.on_front or not by_flag):
            sweeps[point.sweep][point.trial.expert].append(point)
    found: list[Front] = []
    for experts in sweeps.values():
        together = [point for members in experts.values() for point in members]
        if by_flag and len(front_of(together)) == len(together):
            found.append(_front("", together))
        else:
            found += [_front(name, m if by_flag else front_of(m)) for name, m in experts.items()]
    return found


def _front(expert: str, points: Sequence[Point]) -> Front:
    return Front(expert, tuple(sorted(points, key=lambda point: (point.x, point.y))))


def draw_fronts(
    axes: Axes, fronts: Sequence[Front], styles: Styles
) -> list[list[tuple[float, float]]]:
    """Draw each front as a step line; an expert's own has its colour and dashes.

    Returns:
        The corners of each line, from the bottom to the right edge.
    """
    lines: list[list[tuple[float, float]]] = []
    right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
    for front in fronts:
        is_own = front.expert and styles.by_expert
        corners = [(point.x, point.y) for point in front.points]
        lines.append([(corners[0][0], bottom), *corners, (right, corners[-1][1])])
        axes.plot(
            *zip(*lines[-1], strict=True),
            drawstyle="steps-post",
            color=styles.of_expert(front.expert).edge if is_own else styles.look.accent,
            linewidth=1.6 * PT,
            linestyle=styles.dashes(front.expert) if is_own else "-",
            solid_joinstyle="miter",
            zorder=3,
            gid="front",
        )
    return lines


def front_of(points: Sequence[Point]) -> list[Point]:
    """Keep the points that no other beats in size or quality without losing in the other."""
    flags = pareto_front([(point.x, point.y) for point in points])
    return [point for point, stays in zip(points, flags, strict=True) if stays]


def draw_filters(axes: Axes, look: Look, at_least: float | None, at_most: float | None) -> None:
    """Shade what is below a quality or above a size."""
    line: dict[str, Any] = {
        "color": look.accent,
        "linewidth": 1.3 * PT,
        "linestyle": (0, (4, 2)),
        "zorder": 2.5,
    }
    if at_least is not None:
        axes.axhspan(axes.get_ylim()[0], at_least, facecolor=look.shade, zorder=0)
        axes.axhline(at_least, **line)
    if at_most is not None:
        axes.axvspan(at_most, axes.get_xlim()[1], facecolor=look.shade, zorder=0)
        axes.axvline(at_most, **line)
