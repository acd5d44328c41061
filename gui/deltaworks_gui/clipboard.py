"""Copy and Select all, for whatever has the keyboard."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
)


def rows_as_tsv(view: QAbstractItemView) -> str:
    """The selected rows, visible columns only, with tabs between."""
    model = view.model()
    chosen = view.selectionModel().selectedIndexes() if model is not None else []
    lines: dict[tuple[int, int], list[str]] = {}
    for index in sorted(chosen, key=lambda one: (one.parent().row(), one.row(), one.column())):
        text = str(index.data(Qt.ItemDataRole.DisplayRole) or "")
        key = (index.parent().row(), index.row())
        lines.setdefault(key, []).append(text.replace("\t", " ").replace("\n", " "))
    return "\n".join("\t".join(line) for line in lines.values())


def copy_focused() -> bool:
    """Copy what is selected where the keyboard is; False when there is nothing."""
    widget = QApplication.focusWidget()
    if isinstance(widget, QAbstractItemView):
        text = rows_as_tsv(widget)
        if text:
            QGuiApplication.clipboard().setText(text)
        return bool(text)
    if isinstance(widget, QLineEdit | QPlainTextEdit | QTextEdit):
        widget.copy()
        return True
    if isinstance(widget, QLabel) and widget.hasSelectedText():
        QGuiApplication.clipboard().setText(widget.selectedText())
        return True
    return False


def select_all_focused() -> bool:
    """Select everything where the keyboard is; False when it cannot be selected."""
    widget = QApplication.focusWidget()
    if isinstance(widget, QAbstractItemView | QLineEdit | QPlainTextEdit | QTextEdit):
        widget.selectAll()
        return True
    return False
