"""One bar of several parts, with a legend that says everything in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from deltaworks_gui.theme import RADIUS, SPACE_L, SPACE_S, current_theme, series_colors, set_look
from deltaworks_gui.widgets.flow_box import FlowBox

_LEAST = 3.0
"""Px of the narrowest part."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar.

    Args:
        label: what it is; ``text`` how much, for the legend.
        value: its share of the whole.
        series: number of its colour; -1 for what is not ours, -2 for what is free.
    """

    label: str
    text: str
    value: float
    series: int


class StackBar(QWidget):
    """The bar and its legend."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._parts: tuple[Part, ...] = ()
        self._bar = _Bar(self)
        self._legend: FlowBox | None = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(SPACE_S)
        self._column.addWidget(self._bar)

    def show_parts(self, parts: Sequence[Part]) -> None:
        """Show these, from left to right."""
        if tuple(parts) == self._parts:
            return
        self._parts = tuple(parts)
        self._bar.parts = self._parts
        self._bar.update()
        if self._legend is not None:
            self._legend.hide()
            self._legend.deleteLater()
        self._legend = FlowBox(gap=SPACE_L)
        for part in self._parts:
            self._legend.add(_legend_entry(part))
        self._column.addWidget(self._legend)
        said = ", ".join(f"{part.label} {part.text}" for part in self._parts)
        self.setAccessibleName(said)
        self._bar.setAccessibleName(said)


def part_color(series: int) -> QColor:
    """The colour of a part."""
    theme = current_theme()
    if series == -1:
        return theme.color("text-3")
    if series == -2:
        return theme.color("sunken")
    colors = series_colors("dark" if theme.is_dark else "light")
    return QColor(colors[series % len(colors)].color)


class _Bar(QWidget):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.parts: tuple[Part, ...] = ()
        self.setFixedHeight(current_theme().metrics.badge)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        current_theme().changed.connect(self.update)

    def _widths(self, room: float) -> list[float]:
        """Shares of the bar; the smallest part can still be seen."""
        total = sum(part.value for part in self.parts) or 1.0
        widths = [max(_LEAST, room * part.value / total) for part in self.parts]
        if widths:
            widest = max(range(len(widths)), key=widths.__getitem__)
            widths[widest] -= sum(widths) - room
        return widths

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        whole = QRectF(self.rect())
        shape = QPainterPath()
        shape.addRoundedRect(whole, RADIUS, RADIUS)
        painter.setClipPath(shape)
        painter.fillRect(whole, current_theme().color("sunken"))
        left = 0.0
        for part, width in zip(self.parts, self._widths(whole.width()), strict=True):
            painter.fillRect(QRectF(left, 0, width, whole.height()), part_color(part.series))
            left += width
            if left < whole.width() - 1:
                painter.fillRect(
                    QRectF(left - 1, 0, 1, whole.height()), current_theme().color("surface")
                )


class _Swatch(QWidget):
    def __init__(self, series: int) -> None:
        super().__init__()
        self._series = series
        side = current_theme().metrics.step
        self.setFixedSize(side, side)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(current_theme().color("line-strong"))
        painter.setBrush(part_color(self._series))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 2, 2)


def _legend_entry(part: Part) -> QWidget:
    entry, label, text = QWidget(), QLabel(part.label), QLabel(part.text)
    set_look(label, role="secondary")
    row = QHBoxLayout(entry)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(SPACE_S)
    row.addWidget(_Swatch(part.series), 0, Qt.AlignmentFlag.AlignVCenter)
    row.addWidget(label)
    row.addWidget(text)
    return entry
