"""The tables of the Storage page."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication, QModelIndex, Qt, Signal, Slot
from PySide6.QtGui import QResizeEvent, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QAbstractScrollArea, QSizePolicy, QTreeView, QWidget

from deltaworks.library.reclaim import Reclaim
from deltaworks.library.rows import ModelRow
from deltaworks_gui.formats import format_ago, format_exact_size, format_size
from deltaworks_gui.models.roles import ModelRole
from deltaworks_gui.theme import current_theme
from deltaworks_gui.widgets.delegates import CellDelegate, NumberDelegate, PaintRole
from deltaworks_gui.widgets.state_cell import ROLE_ICONS
from deltaworks_gui.widgets.tables import prepare_tree

_ICONS = {
    "duplicate": "duplicate",
    "partial": "incomplete",
    "trial": "results",
    "original": "expert",
    "lossy-original": "expert",
}
_SIZE_WIDTH = 3
_MOST_ROWS = 12
"""A table shows so many rows before it scrolls."""


def _tr(text: str) -> str:
    return QCoreApplication.translate("StorageTables", text)


class _Table(QTreeView):
    """As high as its rows, up to a limit; the page scrolls, not each table."""

    def __init__(self, name: str, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        prepare_tree(self, name=name, accessible_name=title)
        self.setSortingEnabled(False)
        self.setRootIsDecorated(False)
        self.setEditTriggers(QTreeView.EditTrigger.NoEditTriggers)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSizeAdjustPolicy(QAbstractScrollArea.SizeAdjustPolicy.AdjustIgnored)
        self.header().setStretchLastSection(False)
        self.header().setSectionsMovable(False)

    def fit(self) -> None:
        """Take the height of the rows."""
        metrics = current_theme().metrics
        rows = max(1, min(_MOST_ROWS, self.model().rowCount()))
        self.setFixedHeight(metrics.table_header + rows * metrics.row + 2)
        self._fit_columns()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The first columns share what the last leaves."""
        super().resizeEvent(event)
        self._fit_columns()

    def _fit_columns(self) -> None:
        count = self.header().count()
        if not count:
            return
        size = _SIZE_WIDTH * current_theme().metrics.control
        room = max(0, self.viewport().width() - size)
        shares = (1.0,) if count == 2 else (0.36, 0.64) if count == 3 else (0.5, 0.25, 0.25)
        for column, share in enumerate(shares):
            self.setColumnWidth(column, int(room * share))
        self.setColumnWidth(count - 1, size)


class ReclaimTable(_Table):
    """Things that can go, each with a tick.

    Signals:
        ticked: (place in the controller's list, whether it is ticked).
    """

    ticked = Signal(object, object)

    def __init__(self, name: str, title: str) -> None:
        super().__init__(name, title)
        self._model = QStandardItemModel(0, 3, self)
        self._shown: tuple[tuple[int, Reclaim], ...] = ()
        self._is_filling = False
        self._model.setHorizontalHeaderLabels([_tr("What"), _tr("Why"), _tr("Size")])
        _right(self._model, 2)
        self.setModel(self._model)
        self.setItemDelegate(CellDelegate(self))
        self.setItemDelegateForColumn(2, NumberDelegate(self))
        self._model.itemChanged.connect(self._on_changed)

    def show_things(self, things: Sequence[tuple[int, Reclaim]], chosen: frozenset[int]) -> None:
        """Show these, with their places in the whole list."""
        self._is_filling = True
        if tuple(things) != self._shown:
            self._shown = tuple(things)
            self._model.removeRows(0, self._model.rowCount())
            for place, thing in things:
                self._model.appendRow(_items(place, thing))
            self.fit()
        for row, (place, _) in enumerate(self._shown):
            state = Qt.CheckState.Checked if place in chosen else Qt.CheckState.Unchecked
            self._model.item(row, 0).setCheckState(state)
        self._is_filling = False

    @Slot(QStandardItem)
    def _on_changed(self, item: QStandardItem) -> None:
        if not self._is_filling and item.isCheckable():
            is_ticked = item.checkState() == Qt.CheckState.Checked
            self.ticked.emit(item.data(ModelRole.ID), is_ticked)


def _right(model: QStandardItemModel, column: int) -> None:
    """Put a heading over the numbers below it."""
    side = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
    model.setHeaderData(column, Qt.Orientation.Horizontal, side, Qt.ItemDataRole.TextAlignmentRole)


def _items(place: int, thing: Reclaim) -> list[QStandardItem]:
    what, why = QStandardItem(thing.name), QStandardItem(thing.why)
    size = QStandardItem(format_size(thing.size_bytes))
    what.setCheckable(True)
    what.setData(place, ModelRole.ID)
    what.setData(_ICONS[thing.kind], PaintRole.ICON)
    what.setToolTip("\n".join(thing.paths))
    why.setToolTip(thing.why)
    why.setData("text-2", PaintRole.TONE)
    tip = format_exact_size(thing.size_bytes)
    if thing.shared_with:
        names = ", ".join(thing.shared_with)
        tip = _tr("shared with {0}; frees {1} now").format(names, format_size(thing.frees_bytes))
    size.setToolTip(tip)
    return [what, why, size]


class ModelTable(_Table):
    """Models with one fact each and their size.

    Signals:
        opened: a ModelRow that was double-clicked.
    """

    opened = Signal(object)

    def __init__(self, name: str, title: str, fact: str) -> None:
        super().__init__(name, title)
        self._model = QStandardItemModel(0, 3, self)
        self._rows: tuple[ModelRow, ...] = ()
        self._fact = fact
        heading = {"role": _tr("Role"), "used": _tr("Last used")}[fact]
        self._model.setHorizontalHeaderLabels([_tr("Model"), heading, _tr("Size")])
        _right(self._model, 2)
        self.setModel(self._model)
        self.setItemDelegate(CellDelegate(self))
        self.setItemDelegateForColumn(2, NumberDelegate(self))
        self.doubleClicked.connect(self._on_opened)

    def show_rows(self, rows: Sequence[ModelRow]) -> None:
        """Show these models."""
        if tuple(rows) == self._rows:
            return
        self._rows = tuple(rows)
        self._model.removeRows(0, self._model.rowCount())
        for row in rows:
            name = QStandardItem(row.name)
            name.setData(ROLE_ICONS.get(row.role.casefold(), "unknown"), PaintRole.ICON)
            name.setToolTip(row.path)
            fact = QStandardItem(row.role if self._fact == "role" else _last_used(row))
            fact.setData("text-2", PaintRole.TONE)
            size = QStandardItem(format_size(row.size_bytes))
            size.setToolTip(format_exact_size(row.size_bytes))
            self._model.appendRow([name, fact, size])
        self.fit()

    @Slot(QModelIndex)
    def _on_opened(self, index: QModelIndex) -> None:
        self.opened.emit(self._rows[index.row()])


def _last_used(row: ModelRow) -> str:
    return format_ago(max(row.used_ns or 0, row.modified_ns) / 1e9)
