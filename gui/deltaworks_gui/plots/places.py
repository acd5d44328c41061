"""Where points are on the screen, found by place without looking at all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deltaworks.figures.axis_choices import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Key = tuple[str, int]


class Places:
    """Pixels of points, origin bottom left, sorted by x.

    Args:
        axes: what places them; none for no points.
        points: with finite places.
    """

    def __init__(self, axes: Axes | None = None, points: Sequence[Point] = ()) -> None:
        self._keys: list[Key] = []
        self._at: dict[Key, int] = {}
        self._pixels = np.empty((0, 2))
        if axes is None or not points:
            return
        pixels = np.asarray(axes.transData.transform([(point.x, point.y) for point in points]))
        left, bottom, right, top = axes.bbox.padded(1.0).extents
        x, y = pixels[:, 0], pixels[:, 1]
        inside = np.flatnonzero((x >= left) & (x <= right) & (y >= bottom) & (y <= top))
        order = inside[np.argsort(x[inside], kind="stable")]
        self._keys = [points[place].key for place in order]
        self._pixels = pixels[order]
        self._at = {key: at for at, key in enumerate(self._keys)}

    def near(self, x: float, y: float, reach: float) -> Key | None:
        """The nearest point within ``reach`` pixels."""
        first, last = np.searchsorted(self._pixels[:, 0], [x - reach, x + reach])
        if first == last:
            return None
        squares = ((self._pixels[first:last] - (x, y)) ** 2).sum(axis=1)
        nearest = int(squares.argmin())
        return self._keys[first + nearest] if squares[nearest] <= reach * reach else None

    def of(self, key: Key) -> tuple[float, float] | None:
        """Where a point is; None when it is not in view."""
        at = self._at.get(key)
        return None if at is None else (float(self._pixels[at, 0]), float(self._pixels[at, 1]))
