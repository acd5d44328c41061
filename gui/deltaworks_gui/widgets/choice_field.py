"""A choice from a list that drops down. The wheel changes it only when it has the focus."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QComboBox, QStyledItemDelegate, QWidget

from deltaworks_gui.theme import set_look


class ChoiceField(QComboBox):
    """A combo box of pairs of id and text; ``flat`` has no outline until pointed at.

    Signals:
        chosen: the id of another choice, made by the user or by ``choose``.
    """

    chosen = Signal(str)

    def __init__(
        self,
        choices: Sequence[tuple[str, str]] = (),
        *,
        object_name: str = "",
        accessible_name: str = "",
        flat: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName(object_name)
        self.setAccessibleName(accessible_name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setItemDelegate(QStyledItemDelegate(self))  # the default one ignores the style sheet
        set_look(self, flat=flat)
        self.set_choices(choices)
        self.currentIndexChanged.connect(self._on_index)

    @property
    def current(self) -> str:
        """The id of what is chosen, or nothing when the list is empty."""
        return str(self.currentData() or "")

    def set_choices(self, choices: Sequence[tuple[str, str]]) -> None:
        """Offer other choices; the present one stays if it is among them."""
        before = self.current
        blocked = self.blockSignals(True)
        self.clear()
        for choice_id, text in choices:
            self.addItem(text, choice_id)
        kept = self.findData(before)
        self.setCurrentIndex(max(kept, 0) if choices else -1)
        self.blockSignals(blocked)
        if self.current != before:
            self.chosen.emit(self.current)

    def choose(self, choice_id: str) -> None:
        """Choose by id; an id that is not offered changes nothing."""
        index = self.findData(choice_id)
        if index >= 0:
            self.setCurrentIndex(index)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Let the page scroll past a field that is not being edited."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()

    def _on_index(self) -> None:
        self.chosen.emit(self.current)
