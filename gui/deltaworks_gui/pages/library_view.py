"""The Library's table: its columns, their widths, and the keys that work in it."""

from __future__ import annotations

from PySide6.QtCore import QByteArray, QItemSelectionModel, QModelIndex, QPoint, Qt, Signal, Slot
from PySide6.QtGui import QAction, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QMenu, QTreeView, QWidget

from deltaworks_gui.models.library import LibraryFilter
from deltaworks_gui.models.library_entry import COLUMNS, NUMBERS
from deltaworks_gui.theme import current_theme
from deltaworks_gui.widgets.delegates import (
    CellDelegate,
    NameDelegate,
    NumberDelegate,
    StateDelegate,
)
from deltaworks_gui.widgets.tables import prepare_tree

HIDDEN = ("safety", "used", "location", "arch", "licence", "source", "hash", "tags")
"""Columns that are not shown until asked for."""
WIDTHS = {
    "name": 210,
    "role": 78,
    "family": 112,
    "params": 92,
    "dtype": 60,
    "size": 78,
    "saved": 78,
    "quality": 72,
    "state": 128,
    "modified": 116,
}
"""At a text size of 100 %; the others have ``WIDTH``."""
WIDTH = 120
_ROW = 34
"""Height of a row at a text size of 100 %; widths grow with it."""


class LibraryView(QTreeView):
    """The first column takes what the others leave, and never too little.

    Signals:
        search_asked: ``/`` was pressed.
    """

    search_asked = Signal()

    def __init__(self, shown: LibraryFilter, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown = shown
        self._scale = 0.0
        self.setModel(shown)
        prepare_tree(self, name="LibraryView", accessible_name=self.tr("Models"))
        self.setDragEnabled(True)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragOnly)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setExpandsOnDoubleClick(False)
        self.header().setStretchLastSection(False)
        for number, column in enumerate(COLUMNS):
            self.setItemDelegateForColumn(number, self._delegate(column))
            self.setColumnHidden(number, column in HIDDEN)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self._fit()
        current_theme().changed.connect(self._fit)

    def _delegate(self, column: str) -> CellDelegate:
        if column == "name":
            return NameDelegate(self)
        if column == "state":
            return StateDelegate(self)
        return NumberDelegate(self) if column in NUMBERS else CellDelegate(self)

    def restore(self, state: QByteArray) -> None:
        """Columns and order as they were when the window closed."""
        self.header().restoreState(state)
        self._fit_names()

    def selected_ids(self) -> list[int]:
        """Ids of the models that are selected, or whose files are."""
        return self._shown.ids(self.selectionModel().selectedRows())

    def index_of(self, model_id: int) -> QModelIndex:
        """Where a model is shown; invalid when it is not."""
        return self._shown.mapFromSource(self._shown.library.index_of(model_id))

    def choose(self, ids: list[int]) -> None:
        """Select these models, and make the first one visible."""
        flags = QItemSelectionModel.SelectionFlag
        self.clearSelection()
        for index in reversed([self.index_of(one) for one in ids]):
            if index.isValid():
                self.selectionModel().setCurrentIndex(index, flags.Select | flags.Rows)
                self.scrollTo(index)

    def show_column_menu(self, place: QPoint) -> None:
        """Offer to show or hide each column but the names."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for number in range(1, len(COLUMNS)):
            title = self._shown.headerData(number, Qt.Orientation.Horizontal)
            action = menu.addAction(str(title))
            action.setCheckable(True)
            action.setChecked(not self.isColumnHidden(number))
            action.setData(number)
            action.toggled.connect(self._on_column)
        menu.popup(place)

    @Slot(bool)
    def _on_column(self, shown: bool) -> None:
        action = self.sender()
        if isinstance(action, QAction):
            self.setColumnHidden(int(action.data()), not shown)
            self._fit_names()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """``/`` is for the search, not for a name that begins with it."""
        if event.text() == "/":
            self.search_asked.emit()
            return
        super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the names."""
        super().resizeEvent(event)
        self._fit_names()

    @Slot()
    def _fit(self) -> None:
        """Widths grow with the text; a change of colours leaves the user's alone."""
        scale = current_theme().metrics.row / _ROW
        if scale == self._scale:
            return
        self._scale = scale
        for number, name in enumerate(COLUMNS):
            self.setColumnWidth(number, int(WIDTHS.get(name, WIDTH) * scale))
        self._fit_names()

    def _fit_names(self) -> None:
        """Widen the first column; the rest scrolls when there is no room."""
        header = self.header()
        others = sum(header.sectionSize(number) for number in range(1, header.count()))
        least = int(WIDTHS["name"] * self._scale)
        header.resizeSection(0, max(least, self.viewport().width() - others))
