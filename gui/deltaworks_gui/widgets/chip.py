"""Pills: the state of a lane, a tag, a badge."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from deltaworks_gui.theme import SPACE_S, current_theme, tabular


def badge_width(text: str) -> int:
    """How wide ``paint_badge`` draws this text."""
    return QFontMetrics(current_theme().font("badge")).horizontalAdvance(text) + 2 * (SPACE_S - 1)


def paint_badge(painter: QPainter, rect: QRect, text: str, *, on_selection: bool = False) -> None:
    """Draw a small pill with a word in it."""
    theme = current_theme()
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.color("surface" if on_selection else "sunken"))
    painter.drawRoundedRect(QRectF(rect), rect.height() / 2, rect.height() / 2)
    painter.setPen(theme.color("text-2"))
    painter.setFont(theme.font("badge"))
    painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, text)
    painter.restore()


class Chip(QWidget):
    """A pill with a text and a dot or an icon before it.

    Signals:
        clicked: pressed with the mouse or the keyboard, when ``clickable``.
    """

    clicked = Signal()

    def __init__(
        self,
        text: str = "",
        *,
        dot: str = "",
        icon: str = "",
        object_name: str = "",
        clickable: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName(object_name)
        self._text = text
        self._dot = dot
        self._icon = icon
        self._clickable = clickable
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        if clickable:
            self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName(text)
        current_theme().changed.connect(self.updateGeometry)

    @property
    def text(self) -> str:
        """What stands in the pill."""
        return self._text

    def show_state(self, text: str, *, dot: str = "", icon: str = "", tooltip: str = "") -> None:
        """Show another text; ``dot`` and the icon's colour are tokens (``accent``, ``warn``)."""
        self._text, self._dot, self._icon = text, dot, icon
        self.setAccessibleName(text)
        self.setToolTip(tooltip)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """As wide as the text, 20 px high."""
        metrics = QFontMetrics(self._font())
        width = metrics.horizontalAdvance(self._text) + 2 * SPACE_S + self._lead()
        return QSize(width, current_theme().metrics.badge + 2)

    minimumSizeHint = sizeHint

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw pill, mark and text."""
        theme = current_theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("sunken"))
        radius = self.height() / 2
        painter.drawRoundedRect(QRectF(self.rect()), radius, radius)
        self._paint_mark(painter)
        painter.setFont(self._font())
        painter.setPen(theme.color("text-2"))
        room = self.rect().adjusted(SPACE_S + self._lead(), 0, -SPACE_S, 0)
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, self._text)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A click inside counts."""
        if self._clickable and self.rect().contains(event.position().toPoint()):
            self.clicked.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space and Enter press it."""
        if self._clickable and event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Return):
            self.clicked.emit()
            return
        super().keyPressEvent(event)

    def _paint_mark(self, painter: QPainter) -> None:
        theme = current_theme()
        middle = self.height() / 2
        if self._dot:
            radius = theme.metrics.lane_dot / 2
            painter.setBrush(theme.color(self._dot))
            painter.drawEllipse(QPointF(SPACE_S + radius, middle), radius, radius)
        elif self._icon:
            side = theme.metrics.icon_small
            picture = theme.pixmap(self._icon, "text-2", side, self.devicePixelRatioF())
            painter.drawPixmap(QPointF(SPACE_S - 1, middle - side / 2), picture)

    def _lead(self) -> int:
        if self._dot:
            return current_theme().metrics.lane_dot + 6
        return current_theme().metrics.icon_small + 4 if self._icon else 0

    def _font(self) -> QFont:
        return tabular(current_theme().font("secondary"))
