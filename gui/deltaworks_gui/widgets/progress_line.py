"""A thin bar that fills, or moves when the end is not known."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from deltaworks_gui.theme import current_theme

FULL = 1000


def paint_progress(painter: QPainter, rect: QRectF, value: int, color_token: str) -> None:
    """Draw a bar; ``value`` is 0 to 1000, or below 0 when the end is not known."""
    theme = current_theme()
    radius = rect.height() / 2
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.color("line" if theme.is_dark else "sunken"))
    painter.drawRoundedRect(rect, radius, radius)
    filled = QRectF(rect)
    if value < 0:
        filled.setWidth(rect.width() * 0.3)
        filled.moveCenter(rect.center())
    else:
        filled.setWidth(rect.width() * min(value, FULL) / FULL)
    if filled.width() > 0:
        painter.setBrush(theme.color(color_token))
        painter.setClipRect(filled)
        painter.drawRoundedRect(rect, radius, radius)
    painter.restore()


class ProgressLine(QWidget):
    """A bar of 6 px as wide as it may be, or a short one of 4 px when ``thin``."""

    def __init__(
        self, *, thin: bool = False, accessible_name: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._thin = thin
        self._value = 0
        self._color_token = "accent"
        self.setAccessibleName(accessible_name or self.tr("Progress"))
        across = QSizePolicy.Policy.Fixed if thin else QSizePolicy.Policy.Expanding
        self.setSizePolicy(across, QSizePolicy.Policy.Fixed)
        current_theme().changed.connect(self.update)
        self._tell()

    @property
    def value(self) -> int:
        """Thousandths done; below 0 when the end is not known."""
        return self._value

    def set_value(self, value: int) -> None:
        """Show so many thousandths; below 0 shows that the end is not known."""
        value = min(value, FULL)
        if value != self._value:
            self._value = value
            self._tell()
            self.update()

    def set_color(self, token: str) -> None:
        """Fill with another of the theme's colours."""
        self._color_token = token
        self.update()

    def sizeHint(self) -> QSize:
        """As wide as a status bar has room for."""
        metrics = current_theme().metrics
        return QSize(90, metrics.progress_thin if self._thin else metrics.progress)

    def minimumSizeHint(self) -> QSize:
        """Wide enough to read a quarter."""
        return QSize(40, self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the bar in the middle of the room there is."""
        height = self.sizeHint().height()
        top = (self.height() - height) / 2
        paint_progress(
            QPainter(self), QRectF(0, top, self.width(), height), self._value, self._color_token
        )

    def _tell(self) -> None:
        known = self._value >= 0
        text = self.tr("{0} %").format(self._value // 10) if known else self.tr("Working")
        self.setAccessibleDescription(text)
