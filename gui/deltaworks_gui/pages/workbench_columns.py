"""Inputs, method and cost side by side; one under the other where there is no room."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from deltaworks_gui.theme import current_theme, set_look
from deltaworks_gui.widgets.card import rule

_LEFT = (0.27, 7.0, 10.0)  # share of the width, least and most in control heights
_RIGHT = (0.266, 9.6, 9.9)
_MIDDLE_LEAST = 10.2


class Columns(QWidget):
    """Three columns that scroll on their own, with the foot under the last.

    Args:
        left: inputs.  middle: method.  right: cost.
        foot: what stays in sight under the cost, or under everything.
    """

    def __init__(
        self,
        left: QWidget,
        middle: QWidget,
        right: QWidget,
        foot: QWidget,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._parts = (left, middle, right)
        self._foot = foot
        self._areas = [_scroll(left), _scroll(middle), _scroll(right)]
        self._ends = QWidget()
        ends = QVBoxLayout(self._ends)
        ends.setContentsMargins(0, 0, 0, 0)
        ends.setSpacing(0)
        ends.addWidget(self._areas[2], 1)
        set_look(self._areas[0], surface="left")
        set_look(self._ends, surface="right")
        self._wide = QWidget()
        row = QHBoxLayout(self._wide)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self._areas[0])
        row.addWidget(self._areas[1], 1)
        row.addWidget(self._ends)
        self._pile = QWidget()
        set_look(self._pile, surface="page")
        pile = QVBoxLayout(self._pile)
        pile.setContentsMargins(0, 0, 0, 0)
        pile.setSpacing(0)
        self._tall = _scroll(self._pile)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._wide, 1)
        column.addWidget(self._tall, 1)
        self._line = rule()
        column.addWidget(self._line)
        self._is_wide: bool | None = None
        self._fit()

    @property
    def is_wide(self) -> bool:
        """Whether the columns stand side by side."""
        return bool(self._is_wide)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Share the width, or pile up."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        unit = current_theme().metrics.control
        left, right = (
            round(max(least * unit, min(most * unit, share * self.width())))
            for share, least, most in (_LEFT, _RIGHT)
        )
        wide = self.width() - left - right >= _MIDDLE_LEAST * unit or self.width() == 0
        if wide != self._is_wide:
            self._is_wide = wide
            self._arrange(wide)
        if wide:
            self._areas[0].setFixedWidth(left)
            self._ends.setFixedWidth(right)

    def _arrange(self, wide: bool) -> None:
        """Move the parts; they keep all they show."""
        pile, ends, column = self._pile.layout(), self._ends.layout(), self.layout()
        assert pile is not None
        assert ends is not None
        assert column is not None
        for area, part in zip(self._areas, self._parts, strict=True):
            if wide:
                pile.removeWidget(part)
                area.setWidget(part)
                part.setAutoFillBackground(False)  # the area turned it on
            else:
                area.takeWidget()
                pile.addWidget(part)
            part.show()
        (ends if wide else column).addWidget(self._foot)
        self._wide.setVisible(wide)
        self._tall.setVisible(not wide)
        self._line.setVisible(not wide)
        set_look(self._foot, surface="" if wide else "panel")


def _scroll(widget: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
    area.setWidget(widget)
    area.viewport().setAutoFillBackground(False)
    widget.setAutoFillBackground(False)
    return area
