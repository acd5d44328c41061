"""A line to search in: a lens, the text, a cross to clear it."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import QLineEdit, QSizePolicy, QWidget

from deltaworks_gui.theme import current_theme, set_look


class SearchField(QLineEdit):
    """A search field.

    Signals:
        cleared: the cross or Esc emptied it.
    """

    cleared = Signal()

    def __init__(
        self, placeholder: str, *, object_name: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName(object_name)
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(placeholder)
        theme = current_theme()
        lens = QAction(self)
        theme.bind_icon(lens, "search", "text-3", theme.metrics.icon_small)
        self.addAction(lens, QLineEdit.ActionPosition.LeadingPosition)
        self._clear = QAction(self.tr("Clear"), self)
        theme.bind_icon(self._clear, "close", "text-3", theme.metrics.icon_small)
        self._clear.triggered.connect(self._on_clear)
        self.addAction(self._clear, QLineEdit.ActionPosition.TrailingPosition)
        self._clear.setVisible(False)  # only now is there a button that hears of it
        set_look(self, search=True)
        self.textChanged.connect(self._on_text)
        theme.changed.connect(self._fit)
        self._fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc clears first; only an empty field lets it through."""
        if event.key() == Qt.Key.Key_Escape and self.text():
            self._on_clear()
            event.accept()
            return
        super().keyPressEvent(event)

    def _on_text(self, text: str) -> None:
        self._clear.setVisible(bool(text))

    def _on_clear(self) -> None:
        self.clear()
        self.cleared.emit()

    def _fit(self) -> None:
        self.setMinimumWidth(current_theme().metrics.search // 2)
        self.setMaximumWidth(current_theme().metrics.search)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """The width that searches have on every page."""
        hint = super().sizeHint()
        hint.setWidth(current_theme().metrics.search)
        return hint
