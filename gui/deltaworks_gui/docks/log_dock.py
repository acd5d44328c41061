"""The Log dock: the last lines, by level and text, following the end."""

from __future__ import annotations

import logging

from PySide6.QtCore import QSize, QTimer, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QComboBox, QDockWidget, QStackedWidget, QTableView, QWidget

from deltaworks_gui.docks.dock_title import DockTitle
from deltaworks_gui.models.log import LogModel
from deltaworks_gui.theme import SPACE_S, current_theme, set_look
from deltaworks_gui.widgets.buttons import make_button
from deltaworks_gui.widgets.delegates import CellDelegate
from deltaworks_gui.widgets.empty_state import EmptyState
from deltaworks_gui.widgets.search_field import SearchField
from deltaworks_gui.widgets.tables import prepare_table

_WIDTHS = (90, 90, 220, 600)
_FILTER_MS = 150


class LogDock(QDockWidget):
    """Read-only. ``Follow`` lets go as soon as the user scrolls up."""

    def __init__(self, model: LogModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.setObjectName("LogDock")
        self.setWindowTitle(self.tr("Log"))
        self.table = QTableView()
        self._build_table()
        self._stack = QStackedWidget()
        self._stack.addWidget(EmptyState("Empty_Log", self.tr("Nothing logged yet")))
        self._stack.addWidget(self.table)
        self._stack.setMinimumHeight(current_theme().metrics.row * 2)  # below the empty state's own
        self.setWidget(self._stack)
        self._level = QComboBox()
        self._level.setObjectName("LogLevel")
        self._level.setAccessibleName(self.tr("Least level"))
        for text, level in (
            (self.tr("All"), logging.DEBUG),
            (self.tr("Info and above"), logging.INFO),
            (self.tr("Warnings and errors"), logging.WARNING),
            (self.tr("Errors"), logging.ERROR),
        ):
            self._level.addItem(text, level)
        self._level.setCurrentIndex(1)
        set_look(self._level, flat=True)
        self._search = SearchField(self.tr("Search the log"), object_name="LogSearch")
        self.follow = make_button(self.tr("Follow"), "quiet", name="btn_log_follow")
        self.follow.setCheckable(True)
        self.follow.setChecked(True)
        self.title = DockTitle(self)
        for widget in (self._level, self._search, self.follow):
            self.title.add_tool(widget)
        self.setTitleBarWidget(self.title)
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.setInterval(_FILTER_MS)
        self._connect()
        self._on_rows()

    def sizeHint(self) -> QSize:
        """A few lines."""
        metrics = current_theme().metrics
        return QSize(600, metrics.row * 4 + metrics.table_header + SPACE_S)

    def copy(self) -> None:
        """Copy the selected lines."""
        rows = sorted({index.row() for index in self.table.selectionModel().selectedIndexes()})
        text = "\n".join(self.model.line_at(row).text for row in rows)
        QGuiApplication.clipboard().setText(text)

    def _build_table(self) -> None:
        table = self.table
        table.setModel(self.model)
        prepare_table(table, name="LogView", accessible_name=self.tr("Log"))
        table.setItemDelegate(CellDelegate(table))
        for column, width in enumerate(_WIDTHS):
            table.setColumnWidth(column, width)
        table.verticalHeader().setDefaultSectionSize(current_theme().metrics.badge + SPACE_S)

    def _connect(self) -> None:
        self._level.currentIndexChanged.connect(self._filter)
        self._search.textChanged.connect(self._delay.start)
        self._delay.timeout.connect(self._filter)
        self.follow.toggled.connect(self._on_follow)
        self.model.rowsInserted.connect(self._on_rows)
        self.model.rowsRemoved.connect(self._on_rows)
        self.model.modelReset.connect(self._on_rows)
        self.table.verticalScrollBar().sliderMoved.connect(self._on_scrolled)
        self.table.verticalScrollBar().actionTriggered.connect(self._on_scrolled)
        self.visibilityChanged.connect(self._on_rows)

    @Slot()
    def _filter(self) -> None:
        self.model.set_filter(int(self._level.currentData()), self._search.text())

    @Slot()
    def _on_rows(self) -> None:
        self._stack.setCurrentIndex(1 if self.model.total else 0)
        if self.follow.isChecked() and self.isVisible():
            self.table.scrollToBottom()

    @Slot(bool)
    def _on_follow(self, on: bool) -> None:
        if on:
            self.table.scrollToBottom()

    @Slot()
    def _on_scrolled(self) -> None:
        bar = self.table.verticalScrollBar()
        if bar.sliderPosition() < bar.maximum():
            self.follow.setChecked(False)
