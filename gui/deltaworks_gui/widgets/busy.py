"""A sign that something is being worked on, still where motion is not wanted."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QSize, QTimer
from PySide6.QtGui import QHideEvent, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from deltaworks_gui.theme import SPIN_MS, current_theme

_FRAMES = 12


class Busy(QWidget):
    """A spinner that turns only while it is seen."""

    def __init__(
        self, *, size: int = 0, accessible_name: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._side = size or current_theme().metrics.icon
        self._frame = 0
        self.setAccessibleName(accessible_name or self.tr("Working"))
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._timer = QTimer(self)
        self._timer.setInterval(SPIN_MS // _FRAMES)
        self._timer.timeout.connect(self._on_tick)

    @property
    def is_turning(self) -> bool:
        """Whether it moves now."""
        return self._timer.isActive()

    def sizeHint(self) -> QSize:
        """Its one size."""
        return QSize(self._side, self._side)

    def showEvent(self, _event: QShowEvent) -> None:
        """Begin to turn, unless motion is not wanted."""
        if not current_theme().reduced_motion:
            self._timer.start()

    def hideEvent(self, _event: QHideEvent) -> None:
        """Stop: nothing unseen moves."""
        self._timer.stop()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the arc where it is now."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        ratio = self.devicePixelRatioF()
        picture = current_theme().pixmap("spinner", "accent", self._side, ratio)
        painter.translate(self.width() / 2, self.height() / 2)
        painter.rotate(360 * self._frame / _FRAMES)
        painter.drawPixmap(QPointF(-self._side / 2, -self._side / 2), picture)

    def _on_tick(self) -> None:
        self._frame = (self._frame + 1) % _FRAMES
        self.update()
