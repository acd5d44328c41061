"""Text beside marks that covers neither marks nor other text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from deltaworks.figures.look import PT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

_AIR = 2.0


@dataclass(frozen=True, slots=True)
class Side:
    """Where a label may stand: offset in pixels and alignment."""

    dx: float
    dy: float
    ha: str
    va: str


BELOW_FIRST = (
    Side(0, -9, "center", "top"),
    Side(0, 9, "center", "bottom"),
    Side(11, 0, "left", "center"),
    Side(-11, 0, "right", "center"),
    Side(10, -9, "left", "top"),
    Side(-10, -9, "right", "top"),
    Side(0, -22, "center", "top"),
)
BESIDE_RING = tuple(
    Side(across * dx, up * dy, side, "bottom" if up > 0 else "top")
    for dx, dy in ((14, 5), (14, 12), (10, 24), (10, 40), (10, 56), (10, 74), (60, 24), (90, 40))
    for across, side, up in (
        (1, "left", -1),
        (-1, "right", 1),
        (1, "left", 1),
        (-1, "right", -1),
    )
)


@dataclass
class Placer:
    """Remembers what is taken, in display coordinates.

    Args:
        axes: with their final ranges.
        taken: marks and texts, never to be covered.
        lines: lines, to be covered only when nothing else is free.
        texts: what was written.
    """

    axes: Axes
    taken: list[Bbox] = field(default_factory=list)
    lines: list[Bbox] = field(default_factory=list)
    texts: list[Annotation] = field(default_factory=list)

    def take_points(self, places: Sequence[tuple[float, float]], size: float) -> None:
        """Keep the marks at these data coordinates free, ``size`` pixels wide."""
        from matplotlib.transforms import Bbox

        half = size / 2 * self._pixel
        for x, y in places:
            across, up = self.axes.transData.transform((x, y))
            self.taken.append(Bbox.from_extents(across - half, up - half, across + half, up + half))

    def avoid_steps(self, places: Sequence[tuple[float, float]]) -> None:
        """Keep text off a step line through these data coordinates where that can be done."""
        from matplotlib.transforms import Bbox

        corners = [self.axes.transData.transform(place) for place in places]
        for (x0, y0), (x1, y1) in pairwise(corners):
            self.lines.append(Bbox.from_extents(x0, y0 - 1, x1, y0 + 1))
            self.lines.append(Bbox.from_extents(x1 - 1, min(y0, y1), x1 + 1, max(y0, y1)))

    @property
    def _pixel(self) -> float:
        return float(self.axes.figure.dpi) / 100

    def put(
        self,
        text: str,
        place: tuple[float, float],
        sides: Sequence[Side],
        *,
        required: bool = True,
        **style: Any,
    ) -> Annotation | None:
        """Write at the first side that is free.

        Args:
            text: the label.
            place: anchor in data coordinates.
            sides: in order of liking.
            required: whether to write at the first side when none is free; else nothing.
            style: passed to matplotlib.
        """
        label = self.axes.annotate(
            text,
            place,
            textcoords="offset points",
            xytext=(0, 0),
            annotation_clip=False,
            zorder=9,
            bbox={"facecolor": self.axes.get_facecolor(), "alpha": 0.8, "pad": 0.6, "linewidth": 0},
            **style,
        )
        for blocked in ([*self.taken, *self.lines], self.taken):
            for side in sides:
                self._move(label, side)
                box = label.get_window_extent().padded(_AIR * self._pixel)
                if self._is_free(box, blocked):
                    return self._keep(label, box)
        if required:
            self._move(label, sides[0])
            return self._keep(label, label.get_window_extent())
        label.remove()
        return None

    def _keep(self, label: Annotation, box: Bbox) -> Annotation:
        self.taken.append(box)
        self.texts.append(label)
        return label

    @staticmethod
    def _move(label: Annotation, side: Side) -> None:
        label.set_position((side.dx * PT, side.dy * PT))
        label.set(ha=side.ha, va=side.va)

    def _is_free(self, box: Bbox, blocked: Sequence[Bbox]) -> bool:
        frame = self.axes.get_window_extent().padded(_AIR * self._pixel)
        inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0
        return inside and box.y1 <= frame.y1 and not any(box.overlaps(one) for one in blocked)
