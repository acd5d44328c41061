"""Settings that every table of this window shares."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QTreeView

from deltaworks_gui.theme import current_theme


def prepare_tree(view: QTreeView, *, name: str = "", accessible_name: str = "") -> None:
    """Rows of one height, whole rows chosen, several at once, sortable headers."""
    _prepare(view, name, accessible_name)
    view.setUniformRowHeights(True)
    view.setAllColumnsShowFocus(True)
    view.setSortingEnabled(True)
    _prepare_header(view.header())


def prepare_table(view: QTableView, *, name: str = "", accessible_name: str = "") -> None:
    """The same for a flat table: no grid, no row numbers."""
    _prepare(view, name, accessible_name)
    view.setShowGrid(False)
    view.setWordWrap(False)
    view.setCornerButtonEnabled(False)
    view.verticalHeader().hide()
    view.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    view.verticalHeader().setDefaultSectionSize(current_theme().metrics.row)
    view.setTabKeyNavigation(False)
    _prepare_header(view.horizontalHeader())


def _prepare(view: QAbstractItemView, name: str, accessible_name: str) -> None:
    if name:
        view.setObjectName(name)
    if accessible_name:
        view.setAccessibleName(accessible_name)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
    view.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
    view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    view.setMouseTracking(True)


def _prepare_header(header: QHeaderView) -> None:
    header.setHighlightSections(False)
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    header.setStretchLastSection(True)
    header.setSectionsMovable(True)
    header.setMinimumSectionSize(current_theme().metrics.row)
    header.setFixedHeight(current_theme().metrics.table_header)
