"""A method's cell: its mark from the plot before its name, so that table and plot agree."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin

from PySide6.QtCore import QPointF, QRect, QRectF
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QStyleOptionViewItem, QWidget

from deltaworks.figures.look import SeriesLook
from deltaworks_gui.theme import SPACE_S, current_theme
from deltaworks_gui.widgets.delegates import CellDelegate, Index

_SIDES = {
    "^": (3, -90.0),
    "v": (3, 90.0),
    "<": (3, 180.0),
    ">": (3, 0.0),
    "D": (4, 0.0),
    "d": (4, 0.0),
    "p": (5, -90.0),
    "h": (6, -90.0),
}
"""Corners of a mark, and where the first one points, in degrees."""
_THIN = 0.6


class SeriesDelegate(CellDelegate):
    """A name with its mark.

    Args:
        look_of: the mark of a row's index.
    """

    def __init__(self, parent: QWidget, look_of: Callable[[Index], SeriesLook]) -> None:
        super().__init__(parent)
        self._look_of = look_of

    def paint_content(
        self, painter: QPainter, room: QRect, option: QStyleOptionViewItem, index: Index
    ) -> None:
        """Draw the mark, then the name."""
        side = current_theme().metrics.icon_small * 0.6
        place = QPointF(room.left() + side / 2 + 1, room.center().y() + 1)
        paint_mark(painter, place, side, self._look_of(index))
        super().paint_content(painter, room.adjusted(int(side) + SPACE_S, 0, 0, 0), option, index)


def paint_mark(painter: QPainter, place: QPointF, side: float, look: SeriesLook) -> None:
    """Draw one of matplotlib's marks the way the plot draws it."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(look.edge), 1))
    painter.setBrush(QColor(look.color))
    half = side / 2
    box = QRectF(place.x() - half, place.y() - half, side, side)
    if look.marker == "o":
        painter.drawEllipse(box)
    elif look.marker == "s":
        painter.drawRect(box.adjusted(0.5, 0.5, -0.5, -0.5))
    elif look.marker in ("P", "X"):
        painter.translate(place)
        painter.rotate(45 if look.marker == "X" else 0)
        painter.drawPolygon(_plus(QPointF(), half))
    elif look.marker == "d":
        painter.translate(place)
        painter.scale(_THIN, 1.0)
        painter.drawPolygon(_polygon(QPointF(), half * 1.15, *_SIDES["d"]))
    else:
        painter.drawPolygon(_polygon(place, half * 1.15, *_SIDES.get(look.marker, (4, 0.0))))
    painter.restore()


def _polygon(place: QPointF, radius: float, corners: int, start: float) -> QPolygonF:
    angles = [start * pi / 180 + 2 * pi * at / corners for at in range(corners)]
    return QPolygonF(
        [QPointF(place.x() + radius * cos(one), place.y() + radius * sin(one)) for one in angles]
    )


def _plus(place: QPointF, half: float) -> QPolygonF:
    arm = half / 3
    steps = [(-arm, -half), (arm, -half), (arm, -arm), (half, -arm), (half, arm), (arm, arm)]
    steps += [(arm, half), (-arm, half), (-arm, arm), (-half, arm), (-half, -arm), (-arm, -arm)]
    return QPolygonF([QPointF(place.x() + x, place.y() + y) for x, y in steps])
