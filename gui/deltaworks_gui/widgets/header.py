"""The strip over every page: title, room for a search, actions at the far end."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from deltaworks_gui.theme import SPACE_M, SPACE_S, SPACE_XL, SPACE_XXL, current_theme, set_look


class PageHeader(QWidget):
    """A page's header, 56 px high."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(title)
        self._title = QLabel(title)
        set_look(self._title, role="title")
        self._lead = QHBoxLayout()
        self._lead.setSpacing(SPACE_M)
        self._actions = QHBoxLayout()
        self._actions.setSpacing(SPACE_S + 2)
        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE_XL, 0, SPACE_XL, 0)
        row.setSpacing(SPACE_XXL)
        row.addWidget(self._title)
        row.addLayout(self._lead)
        row.addStretch(1)
        row.addLayout(self._actions)
        set_look(self, surface="header")
        current_theme().changed.connect(self._fit)
        self._fit()

    @property
    def title(self) -> str:
        """The page's name."""
        return self._title.text()

    def set_title(self, title: str) -> None:
        """Show another name."""
        self._title.setText(title)
        self.setAccessibleName(title)

    def add_lead(self, widget: QWidget) -> None:
        """Put a widget beside the title: a search field, a segmented control."""
        self._lead.addWidget(widget)

    def add_action(self, widget: QWidget) -> None:
        """Put a button at the far end, in reading order."""
        self._actions.addWidget(widget)

    def _fit(self) -> None:
        self.setFixedHeight(current_theme().metrics.header)
