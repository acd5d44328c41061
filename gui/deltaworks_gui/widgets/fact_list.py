"""Facts in lines: what on the left, how much on the right, a thin line under each."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from deltaworks_gui.theme import SPACE_M, current_theme, set_look, tabular
from deltaworks_gui.widgets.card import rule
from deltaworks_gui.widgets.elided_label import ElidedLabel


class FactList(QWidget):
    """Rows of label and value. A value may be a widget (a combo, a state)."""

    def __init__(self, *, accessible_name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(accessible_name)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        self._rows: dict[str, _Fact] = {}
        current_theme().changed.connect(self._fit)

    def set_fact(
        self, key: str, label: str, value: str, *, tone: str = "", tooltip: str = ""
    ) -> None:
        """Add a row or change it; ``tone`` is good, warn, bad or accent."""
        self._row(key, label).show_value(value, tone, tooltip)

    def set_widget(self, key: str, label: str, widget: QWidget) -> None:
        """Add a row whose value is a widget; the label becomes its buddy."""
        self._row(key, label).show_widget(widget)

    def set_row_visible(self, key: str, visible: bool) -> None:
        """Show or hide a row."""
        self._rows[key].setVisible(visible)

    def set_label(self, key: str, label: str) -> None:
        """Name a row anew."""
        self._rows[key].label.setText(label)

    def value(self, key: str) -> str:
        """The text of a row's value."""
        return self._rows[key].value.text()

    def clear(self) -> None:
        """Take every row away."""
        for row in self._rows.values():
            self._column.removeWidget(row)
            row.hide()  # it is deleted later, and must not be painted until then
            row.deleteLater()
        self._rows.clear()

    def _row(self, key: str, label: str) -> _Fact:
        if key not in self._rows:
            self._rows[key] = _Fact(key)
            self._column.addWidget(self._rows[key])
        self._rows[key].label.setText(label)
        return self._rows[key]

    def _fit(self) -> None:
        for row in self._rows.values():
            row.fit()


class _Fact(QWidget):
    """One row."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.setObjectName(f"fact_{key}")
        self.label = QLabel()
        set_look(self.label, role="fact")
        self.value = ElidedLabel()
        self.value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._line = QHBoxLayout()
        self._line.setContentsMargins(0, 0, 0, 0)
        self._line.setSpacing(SPACE_M)
        self._line.addWidget(self.label)
        self._line.addWidget(self.value, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(self._line, 1)
        column.addWidget(rule())
        self.fit()

    def fit(self) -> None:
        self.setMinimumHeight(current_theme().metrics.row - 3)
        self.value.setFont(tabular(current_theme().font()))

    def show_value(self, value: str, tone: str, tooltip: str) -> None:
        self.value.setText(value)
        if tooltip:
            self.value.setToolTip(tooltip)
        self.value.setAccessibleName(f"{self.label.text()}: {value}")
        if self.value.property("tone") != tone:
            set_look(self.value, tone=tone, role="strong" if tone == "accent" else "")

    def show_widget(self, widget: QWidget) -> None:
        self.value.hide()
        self._line.addStretch(1)
        self._line.addWidget(widget)
        self.label.setBuddy(widget)
        if not widget.accessibleName():
            widget.setAccessibleName(self.label.text())
