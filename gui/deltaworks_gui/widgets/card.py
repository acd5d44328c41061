"""A surface with a caption, for what belongs together."""

from __future__ import annotations

from typing import Literal

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from deltaworks_gui.theme import LINE, SPACE_M, SPACE_S, set_look

CardKind = Literal["card", "well", "drop"]


class Card(QFrame):
    """A box of radius 10 with one line around it.

    Args:
        title: its caption; none leaves no room for one.
        kind: ``card`` stands on a page, ``well`` is sunk in, ``drop`` waits for a drop.
    """

    def __init__(
        self, title: str = "", *, kind: CardKind = "card", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAccessibleName(title)
        self._caption = QLabel(title)
        self._caption.setVisible(bool(title))
        set_look(self._caption, role="caption")
        self._top = QHBoxLayout()
        self._top.addWidget(self._caption)
        self._top.addStretch(1)
        self.body = QVBoxLayout()
        self.body.setSpacing(SPACE_S)
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        column.setSpacing(SPACE_S - 2 * LINE)
        column.addLayout(self._top)
        column.addLayout(self.body, 1)
        set_look(self, surface=kind)

    def set_title(self, title: str) -> None:
        """Show another caption."""
        self._caption.setText(title)
        self._caption.setVisible(bool(title))
        self.setAccessibleName(title)

    def add_corner(self, widget: QWidget) -> None:
        """Put a small button at the end of the caption's line."""
        self._top.addWidget(widget)

    def add(self, widget: QWidget) -> None:
        """Put a widget under what is there."""
        self.body.addWidget(widget)


def rule(parent: QWidget | None = None) -> QFrame:
    """A thin line across, to separate without a box."""
    line = QFrame(parent)
    line.setFixedHeight(LINE)
    set_look(line, rule=True)
    return line


def caption(text: str, parent: QWidget | None = None) -> QLabel:
    """A small heading over a group."""
    label = QLabel(text, parent)
    set_look(label, role="caption")
    return label
