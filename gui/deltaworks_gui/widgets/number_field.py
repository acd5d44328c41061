"""Fields for numbers. The wheel changes them only when they have the focus."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QSpinBox, QWidget

from deltaworks_gui.theme import SPACE_S, current_theme, tabular


class IntField(QSpinBox):
    """A whole number; ``unit`` stands after it."""

    def __init__(
        self,
        lowest: int = 0,
        highest: int = 100,
        *,
        unit: str = "",
        accessible_name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setRange(lowest, highest)
        self.setSuffix(f" {unit}" if unit else "")
        _prepare(self, accessible_name)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Let the page scroll past a field that is not being edited."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class RealField(QDoubleSpinBox):
    """A number with ``decimals`` places; ``unit`` stands after it."""

    def __init__(
        self,
        lowest: float = 0.0,
        highest: float = 1.0,
        *,
        decimals: int = 2,
        unit: str = "",
        accessible_name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setDecimals(decimals)
        self.setRange(lowest, highest)
        self.setSingleStep(10.0**-decimals)
        self.setSuffix(f" {unit}" if unit else "")
        _prepare(self, accessible_name)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Let the page scroll past a field that is not being edited."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


def _prepare(field: QAbstractSpinBox, accessible_name: str) -> None:
    field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    field.setAccessibleName(accessible_name)
    field.setFont(tabular(current_theme().font()))
    # Style sheets do not pad the line inside a spin box.
    field.lineEdit().setTextMargins(SPACE_S + 1, 0, 0, 0)
