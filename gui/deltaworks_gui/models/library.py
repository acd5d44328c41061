"""The library as a tree: a model a row, its files below. A pure view on plain rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from PySide6.QtCore import (
    QAbstractItemModel,
    QMimeData,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
    QUrl,
    Signal,
)

from deltaworks.library.rows import ModelRow
from deltaworks_gui.formats import format_exact_size, format_size
from deltaworks_gui.models.library_entry import (
    COLUMNS,
    KEYS,
    NUMBERS,
    STATE_IDS,
    Entry,
    column_titles,
    paint_data,
    sorted_entries,
)
from deltaworks_gui.models.mime import MODELS, put_models
from deltaworks_gui.models.ranges import ranges_of
from deltaworks_gui.models.roles import ModelRole
from deltaworks_gui.widgets.delegates import PaintRole

Index = QModelIndex | QPersistentModelIndex
_Role = Qt.ItemDataRole
BATCH = 200
"""Rows that are inserted at once."""
FEW = 8
"""More separate gaps than these are first brought together, then removed at once."""


class LibraryModel(QAbstractItemModel):
    """Models at the top, files one level down. Sorts itself; see ``LibraryFilter``.

    Signals:
        renamed: (model id, the name that was typed).
    """

    renamed = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._entries: list[Entry] = []
        self._at: dict[int, int] = {}
        self._sort = ("name", Qt.SortOrder.AscendingOrder)

    # What others ask

    @property
    def rows(self) -> list[ModelRow]:
        """Every model, in the order shown."""
        return [entry.row for entry in self._entries]

    def row_by_id(self, model_id: int) -> ModelRow | None:
        """One model; None when it is not here."""
        at = self._at.get(model_id)
        return None if at is None else self._entries[at].row

    def row_at(self, index: Index) -> ModelRow | None:
        """The model that an index, or its parent, stands for."""
        return self.row_by_id(index.internalId() or self._id_at(index)) if index.isValid() else None

    def index_of(self, model_id: int) -> QModelIndex:
        """Where a model is; invalid when it is not here."""
        at = self._at.get(model_id)
        return QModelIndex() if at is None else self.index(at, 0)

    # Changes

    def upsert(self, rows: Iterable[ModelRow]) -> None:
        """Put rows in, or in the place of those with their ids."""
        fresh: dict[int, Entry] = {}
        changed = []
        for row in rows:
            at = self._at.get(row.id)
            if at is None:
                fresh[row.id] = Entry(row)
            elif self._entries[at].row != row:
                self._replace(at, row)
                changed.append(at)
        for first, last in ranges_of(changed):
            self.dataChanged.emit(self.index(first, 0), self.index(last, len(COLUMNS) - 1))
        entries = list(fresh.values())
        for start in range(0, len(entries), BATCH):
            self._append(entries[start : start + BATCH])
        if fresh or changed:
            self.sort(COLUMNS.index(self._sort[0]), self._sort[1])

    def remove(self, ids: Iterable[int]) -> None:
        """Take rows out."""
        gone = {one for one in ids if one in self._at}
        ranges = ranges_of(self._at[one] for one in gone)
        if len(ranges) > FEW:
            kept = [entry for entry in self._entries if entry.row.id not in gone]
            last = [entry for entry in self._entries if entry.row.id in gone]
            self._reorder(kept + last)
            ranges = [(len(kept), len(kept) + len(last) - 1)]
        for first, last_at in reversed(ranges):
            self.beginRemoveRows(QModelIndex(), first, last_at)
            del self._entries[first : last_at + 1]
            self._number()
            self.endRemoveRows()

    def _replace(self, at: int, row: ModelRow) -> None:
        parent = self.index(at, 0)
        before, after = len(self._entries[at].row.files), len(row.files)
        if after > before:
            self.beginInsertRows(parent, before, after - 1)
        elif after < before:
            self.beginRemoveRows(parent, after, before - 1)
        self._entries[at] = Entry(row)
        if after > before:
            self.endInsertRows()
        elif after < before:
            self.endRemoveRows()

    def _append(self, entries: Sequence[Entry]) -> None:
        first = len(self._entries)
        self.beginInsertRows(QModelIndex(), first, first + len(entries) - 1)
        self._entries.extend(entries)
        self._at |= {entry.row.id: first + at for at, entry in enumerate(entries)}
        self.endInsertRows()

    def _number(self) -> None:
        self._at = {entry.row.id: at for at, entry in enumerate(self._entries)}

    # Qt's questions

    def index(self, row: int, column: int, parent: Index = QModelIndex()) -> QModelIndex:  # noqa: B008 - Qt's signature
        """Top rows carry 0, files the id of their model."""
        if not parent.isValid():
            inside = 0 <= row < len(self._entries)
            return self.createIndex(row, column, 0) if inside else QModelIndex()
        if parent.internalId() or not 0 <= row < len(self._entries[parent.row()].row.files):
            return QModelIndex()
        return self.createIndex(row, column, self._id_at(parent))

    def parent(self, index: Index) -> QModelIndex:  # type: ignore[override]  # the other overload is QObject's
        """The model of a file."""
        owner = index.internalId() if index.isValid() else 0
        return self.createIndex(self._at[owner], 0, 0) if owner in self._at else QModelIndex()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """Models, or the files of one."""
        if not parent.isValid():
            return len(self._entries)
        if parent.internalId() or parent.column() > 0:
            return 0
        return len(self._entries[parent.row()].row.files)

    def columnCount(self, _parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """As many as ``COLUMNS``."""
        return len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = _Role.DisplayRole
    ) -> Any:
        """The titles of the columns."""
        if orientation is not Qt.Orientation.Horizontal:
            return None
        if role == _Role.DisplayRole:
            return column_titles()[COLUMNS[section]]
        if role == _Role.TextAlignmentRole and COLUMNS[section] in NUMBERS:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: Index, role: int = _Role.DisplayRole) -> Any:
        """Look up what the row says; strings are made once a row."""
        if not index.isValid():
            return None
        if index.internalId():
            return self._file_data(index, role)
        entry, column = self._entries[index.row()], COLUMNS[index.column()]
        if role == _Role.DisplayRole:
            return entry.texts[column]
        if role == _Role.AccessibleTextRole:
            return ", ".join((entry.texts[column], *(entry.badges if column == "name" else ())))
        if role == _Role.ToolTipRole:
            return entry.tips.get(column) or entry.texts[column]
        if role == _Role.EditRole and column == "name":
            return entry.row.name
        if role == ModelRole.ID:
            return entry.row.id
        if role == ModelRole.SORT:
            return KEYS[column](entry.row)
        if role in (ModelRole.STATE, PaintRole.STATE):
            return STATE_IDS[entry.row.state]
        return paint_data(entry, column, role)

    def _file_data(self, index: Index, role: int) -> Any:
        file = self._entries[self._at[index.internalId()]].row.files[index.row()]
        column = COLUMNS[index.column()]
        if role in (_Role.DisplayRole, _Role.AccessibleTextRole):
            name = file.path.replace("\\", "/").rsplit("/", 1)[-1]
            return {"name": name, "size": format_size(file.size_bytes)}.get(column, "")
        if role == _Role.ToolTipRole:
            exact = format_exact_size(file.size_bytes)
            return {"name": file.path, "size": exact}.get(column, "")
        if role == PaintRole.TONE:
            return "text-2"
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Models can be dragged and renamed."""
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        shown = Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled
        if index.internalId():
            return shown
        if COLUMNS[index.column()] == "name":
            shown |= Qt.ItemFlag.ItemIsEditable
        return shown | Qt.ItemFlag.ItemIsDragEnabled

    def setData(self, index: Index, value: Any, role: int = _Role.EditRole) -> bool:  # noqa: N802 - Qt's name
        """Ask for another name; the row changes when the library has it."""
        row = self.row_at(index)
        if row is None or role != _Role.EditRole or str(value) == row.name:
            return False
        self.renamed.emit(row.id, str(value))
        return True

    def mimeTypes(self) -> list[str]:
        """Ours for the window, file URLs for other applications."""
        return [MODELS, "text/uri-list"]

    def mimeData(self, indexes: Sequence[QModelIndex]) -> QMimeData:
        """Pack the dragged models."""
        rows = {row.id: row for index in indexes if (row := self.row_at(index)) is not None}
        data = QMimeData()
        put_models(data, rows)
        data.setUrls([QUrl.fromLocalFile(row.path) for row in rows.values()])
        return data

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by raw values; unknown ones last both ways, ties by name."""
        if not 0 <= column < len(COLUMNS):
            return
        self._sort = (COLUMNS[column], order)
        self._reorder(sorted_entries(self._entries, *self._sort))

    def _reorder(self, entries: list[Entry]) -> None:
        """Put the same entries in another order; selection and expansion go with them."""
        if entries == self._entries:
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        owners = [index.internalId() or self._entries[index.row()].row.id for index in before]
        self._entries = entries
        self._number()
        for index, owner in zip(before, owners, strict=True):
            if not index.internalId():
                moved = self.createIndex(self._at[owner], index.column(), 0)
                self.changePersistentIndex(index, moved)
        self.layoutChanged.emit()

    def _id_at(self, index: Index) -> int:
        return self._entries[index.row()].row.id


class LibraryFilter(QSortFilterProxyModel):
    """Shows the models whose ids are accepted; sorting is the model's own.

    Args:
        model: the whole ``library``.
    """

    def __init__(self, model: LibraryModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.library = model
        self._accepted: frozenset[int] | None = None
        self.setSourceModel(model)
        self.setDynamicSortFilter(False)

    def accept(self, ids: frozenset[int] | None) -> None:
        """Show these only; None shows all."""
        if ids == self._accepted:
            return
        if hasattr(self, "beginFilterChange"):  # Qt 6.10 and later
            self.beginFilterChange()
            self._accepted = ids
            self.endFilterChange(QSortFilterProxyModel.Direction.Rows)
        else:
            self._accepted = ids
            self.invalidateRowsFilter()

    def filterAcceptsRow(self, row: int, parent: Index) -> bool:  # noqa: N802 - Qt's name
        """Files go with their model."""
        if self._accepted is None or parent.isValid():
            return True
        return self.library.index(row, 0).data(ModelRole.ID) in self._accepted

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Let the model sort: comparing in Python, pair by pair, takes seconds."""
        self.library.sort(column, order)

    def ids(self, indexes: Iterable[QModelIndex]) -> list[int]:
        """Ids of the models of these indexes, each once, in their order."""
        found = (self.library.row_at(self.mapToSource(index)) for index in indexes)
        return list(dict.fromkeys(row.id for row in found if row is not None))
