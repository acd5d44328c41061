"""Widgets side by side, in as many lines as they need.

No QLayout: the binding keeps handles on a layout's items after Qt has freed them, and
then takes something else at the same address for one of them.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPoint, QRect, QSize
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from deltaworks_gui.theme import SPACE_L, SPACE_XS


class FlowBox(QWidget):
    """Left to right, then on the next line; mirrored where text runs from the right.

    Args:
        gap: between two in a line.
        above: empty px over the first line.
    """

    def __init__(
        self, *, gap: int = SPACE_L, above: int = 0, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._widgets: list[QWidget] = []
        self._gap = gap
        self._above = above
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def add(self, widget: QWidget) -> None:
        """Put a widget behind what is there."""
        widget.setParent(self)
        self._widgets.append(widget)
        self._renew()

    def event(self, event: QEvent) -> bool:
        """A widget in it wants another size, came or went."""
        if event.type() == QEvent.Type.LayoutRequest:
            self._renew()
        return super().event(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Break the lines anew."""
        super().resizeEvent(event)
        if self._place(move=True) != self.height():
            self.updateGeometry()

    def heightForWidth(self, width: int) -> int:
        """Height of all lines."""
        return self._place(width, move=False)

    def minimumSizeHint(self) -> QSize:
        """Room for the widest one, and one line; ``heightForWidth`` says the rest."""
        shown = [one.sizeHint() for one in self._widgets if not one.isHidden()]
        width = max((size.width() for size in shown), default=0)
        return QSize(width, self._above + max((size.height() for size in shown), default=0))

    sizeHint = minimumSizeHint

    def _renew(self) -> None:
        self.updateGeometry()
        self._place(move=True)

    def _place(self, width: int = 0, *, move: bool) -> int:
        """Go through the lines; give their height."""
        width = width or self.width()
        x, y, line = 0, self._above, 0
        for widget in self._widgets:
            if widget.isHidden():
                continue
            size = widget.sizeHint()
            if x and x + size.width() > width:
                x, y, line = 0, y + line + SPACE_XS, 0
            if move:
                left = width - x - size.width() if self.isRightToLeft() else x
                widget.setGeometry(QRect(QPoint(left, y), size))
            x += size.width() + self._gap
            line = max(line, size.height())
        return y + line
