"""How the gallery's pages are put together."""

from __future__ import annotations

from PySide6.QtWidgets import (
    QHBoxLayout,
    QVBoxLayout,
    QWidget,
)

from deltaworks_gui.theme import SPACE_M, set_look
from deltaworks_gui.widgets.banner import Banner
from deltaworks_gui.widgets.header import PageHeader


def page_of(header: PageHeader, *parts: QWidget) -> QWidget:
    """A page: header, then the parts, one under the other."""
    page = QWidget()
    set_look(page, surface="page")
    column = QVBoxLayout(page)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    column.addWidget(header)
    for part in parts:
        column.addWidget(part, 0 if isinstance(part, Banner) else 1)
    return page


def row_of(*widgets: QWidget, margin: int = 0, spacing: int = SPACE_M) -> QHBoxLayout:
    """Widgets side by side."""
    row = QHBoxLayout()
    row.setContentsMargins(margin, margin, margin, margin)
    row.setSpacing(spacing)
    for widget in widgets:
        row.addWidget(widget)
    return row
