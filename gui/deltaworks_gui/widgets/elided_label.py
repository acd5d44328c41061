"""A line of text that shortens itself and keeps the whole in its tooltip."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget


class ElidedLabel(QLabel):
    """One line: paths lose their middle, names their end."""

    def __init__(
        self, text: str = "", *, is_path: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(text, parent)
        self._mode = Qt.TextElideMode.ElideMiddle if is_path else Qt.TextElideMode.ElideRight
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self._tell()

    def setText(self, text: str) -> None:
        """Show another text; the tooltip and the accessible name follow."""
        super().setText(text)
        self._tell()
        self.updateGeometry()

    def shown_text(self) -> str:
        """What fits in the width there is."""
        return self.fontMetrics().elidedText(self.text(), self._mode, self.contentsRect().width())

    def minimumSizeHint(self) -> QSize:
        """A few characters; the rest may go."""
        return QSize(self.fontMetrics().averageCharWidth() * 6, super().minimumSizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the shortened text in the label's colour."""
        painter = QPainter(self)
        self.style().drawItemText(
            painter,
            self.contentsRect(),
            int(self.alignment().value),
            self.palette(),
            self.isEnabled(),
            self.shown_text(),
            self.foregroundRole(),
        )

    def _tell(self) -> None:
        self.setToolTip(self.text())
        self.setAccessibleName(self.text())
