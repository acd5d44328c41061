"""Draws what runs of ``run.py --json`` have found: ratios by method, cost by size.

python benchmarks/plot.py OUT.png RESULTS.json...
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.models import SIZES, Shape  # noqa: E402

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OURS, _PEER = "Deltaworks", "mergekit"
_WHOLE, _ALONE = "#1f6feb", "#8fb8f6"
_TARGETS = {
    **dict.fromkeys(("linear", "slerp", "task_arithmetic"), 4),
    **dict.fromkeys(("ties", "dare_ties", "della", "breadcrumbs", "sce"), 6),
}


@dataclass(frozen=True)
class Point:
    """One method at one size.

    Args:
        millions: of numbers in the model.
        cpu: seconds by contestant, whole process.
        ratio: mergekit's CPU seconds over ours.
        engine_ratio: likewise for the work alone; 0 where it is not known.
    """

    millions: float
    cpu: Mapping[str, float]
    ratio: float
    engine_ratio: float


def main(arguments: Sequence[str]) -> None:
    """Draw all results into one picture."""
    target, *files = map(Path, arguments)
    found: dict[str, list[Point]] = {}
    for file in files:
        for method, point in points(json.loads(file.read_text())):
            found.setdefault(method, []).append(point)
    draw(found, target)


def points(document: Mapping[str, Any]) -> list[tuple[str, Point]]:
    """Give the merges of one file."""
    cases: dict[str, dict[str, Any]] = {}
    for result in document["subjects"]["merge"]:
        cases.setdefault(result["case"].removeprefix("merge "), {})[result["contestant"]] = result
    millions = parameters(SIZES[document["size"]]) / 1e6
    return [
        (
            method,
            Point(
                millions,
                {
                    who: statistics.median(run["cpu"] for run in one["runs"])
                    for who, one in by.items()
                },
                by[_PEER]["cpu_ratio"],
                by[_PEER]["engine_ratio"] or 0.0,
            ),
        )
        for method, by in cases.items()
        if _PEER in by
    ]


def parameters(shape: Shape) -> int:
    """Count the numbers of a model."""
    attention = 2 * shape.hidden * (shape.hidden + shape.key_value)
    block = attention + 3 * shape.hidden * shape.inner + 2 * shape.hidden
    return shape.blocks * block + shape.hidden * (2 * shape.vocabulary + 1)


def draw(found: Mapping[str, Sequence[Point]], target: Path) -> None:
    """Write the picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _ratios(left, found)
    _costs(right, found)
    figure.savefig(target, dpi=130, metadata={"Software": None})


def _ratios(axes: Axes, found: Mapping[str, Sequence[Point]]) -> None:
    smallest = min(point.millions for points in found.values() for point in points)
    shown = {
        method: next(point for point in points if point.millions == smallest)
        for method, points in found.items()
        if any(point.millions == smallest for point in points)
    }
    for place, (method, point) in enumerate(shown.items()):
        axes.bar(place - 0.2, point.ratio, 0.4, color=_WHOLE)
        axes.bar(place + 0.2, point.engine_ratio, 0.4, color=_ALONE)
        if method in _TARGETS:
            axes.hlines(_TARGETS[method], place - 0.45, place + 0.45, color="black", lw=1)
    axes.set_xticks(range(len(shown)), list(shown), rotation=40, ha="right")
    axes.set_ylabel("mergekit's CPU seconds / ours")
    axes.set_title(f"{smallest:.0f} million numbers, one thread each")
    axes.bar(0, 0, color=_WHOLE, label="whole process")
    axes.bar(0, 0, color=_ALONE, label="work alone, all imported")
    axes.plot([], [], color="black", lw=1, label="aim, whole process")
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
    axes.legend(frameon=False, ncols=3, loc="upper left", fontsize="small")


def _costs(axes: Axes, found: Mapping[str, Sequence[Point]]) -> None:
    colours = iter(("#1f6feb", "#d1495b", "#2a9d60", "#b8860b"))
    for method, points in found.items():
        ordered = sorted(points, key=lambda point: point.millions)
        if len({point.millions for point in ordered}) < 2:
            continue
        colour, sizes = next(colours), [point.millions for point in ordered]
        for who, style in ((_OURS, "o-"), (_PEER, "s--")):
            axes.plot(
                sizes,
                [point.cpu[who] for point in ordered],
                style,
                color=colour,
                label=f"{method}, {who}",
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("million numbers")
    axes.set_ylabel("CPU seconds, whole process")
    axes.set_title("Cost by size")
    if axes.has_data():
        axes.legend(frameon=False)


if __name__ == "__main__":
    main(sys.argv[1:])
