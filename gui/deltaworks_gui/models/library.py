"""The library as a tree: a model a row, its files below. A pure view on plain rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

from PySide6.QtCore import (
    QAbstractItemModel,
    QCoreApplication,
    QMimeData,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
    QUrl,
    Signal,
)

from deltaworks.library.rows import ModelRow, State
from deltaworks_gui.formats import (
    format_ago,
    format_count,
    format_exact_size,
    format_moment,
    format_percent,
    format_size,
)
from deltaworks_gui.models.mime import MODELS, put_models
from deltaworks_gui.models.roles import ModelRole
from deltaworks_gui.widgets.delegates import PaintRole
from deltaworks_gui.widgets.state_cell import ROLE_ICONS

Index = QModelIndex | QPersistentModelIndex
_Role = Qt.ItemDataRole

COLUMNS = (
    "name",
    "role",
    "family",
    "params",
    "dtype",
    "size",
    "saved",
    "quality",
    "safety",
    "state",
    "modified",
    "used",
    "location",
    "arch",
    "licence",
    "source",
    "hash",
    "tags",
)
NUMBERS = frozenset({"params", "size", "saved", "quality"})
BATCH = 200
"""Rows that are inserted at once."""

STATE_IDS = {
    State.READY: "ready",
    State.SCANNING: "scanning",
    State.MISSING: "missing",
    State.INCOMPLETE: "incomplete",
    State.UNREADABLE: "unreadable",
    State.UNSAFE: "unsafe",
    State.CHANGED: "changed",
    State.DUPLICATE: "duplicate",
    State.OFFLINE: "offline",
    State.IN_USE: "in-use",
}
USABLE = frozenset({State.READY, State.CHANGED, State.DUPLICATE})
"""States in which a model may be a job's input."""


def _tr(text: str) -> str:
    return QCoreApplication.translate("LibraryModel", text)


class Entry:
    """A row and its strings, each made when it is first shown."""

    def __init__(self, row: ModelRow) -> None:
        self.row = row

    @cached_property
    def texts(self) -> dict[str, str]:
        """What the cells say."""
        row = self.row
        near = "≈ " if row.quality_is_estimate else ""
        return {
            "name": row.name,
            "role": row.role,
            "family": row.family or ("?" if row.role == "Unknown" else ""),
            "params": format_count(row.n_parameters),
            "dtype": row.dtype,
            "size": format_size(row.size_bytes),
            "saved": format_size(row.saved_bytes),
            "quality": near + format_percent(row.quality) if row.quality is not None else "",
            "safety": row.safety,
            "state": row.state.value,
            "modified": format_ago(row.modified_ns / 1e9),
            "used": format_ago(row.used_ns / 1e9) if row.used_ns else "",
            "location": row.path,
            "arch": row.arch,
            "licence": row.licence,
            "source": row.source,
            "hash": row.content[:12],
            "tags": ", ".join(row.tags),
        }

    @cached_property
    def tips(self) -> dict[str, str]:
        """What the cells say when pointed at; the text itself where nothing is given."""
        row = self.row
        shared = format_size(row.shared_bytes)
        size = format_exact_size(row.size_bytes)
        if row.shared_bytes:
            size = _tr("{0}, of which {1} are shared with other models").format(size, shared)
        return {
            "name": row.path,
            "size": size,
            "saved": format_exact_size(row.saved_bytes),
            "quality": row.quality_how,
            "state": row.reason or row.state.value,
            "modified": format_moment(row.modified_ns / 1e9),
            "used": format_moment(row.used_ns / 1e9) if row.used_ns else "",
            "hash": row.content,
        }

    @cached_property
    def badges(self) -> tuple[str, ...]:
        """Pills after the name."""
        exact = {True: (_tr("bit-exact"),), False: (_tr("lossy"),), None: ()}[self.row.is_exact]
        return (*exact, _tr("set by you")) if self.row.role_is_set else exact


_KEYS: dict[str, Callable[[ModelRow], Any]] = {
    "params": lambda row: row.n_parameters,
    "size": lambda row: row.size_bytes,
    "saved": lambda row: row.saved_bytes,
    "quality": lambda row: row.quality,
    "modified": lambda row: row.modified_ns,
    "used": lambda row: row.used_ns,
    "role": lambda row: row.role.casefold(),
    "family": lambda row: row.family.casefold() or None,
    "dtype": lambda row: row.dtype or None,
    "safety": lambda row: row.safety or None,
    "state": lambda row: row.state.value,
    "location": lambda row: row.path,
    "arch": lambda row: row.arch or None,
    "licence": lambda row: row.licence or None,
    "source": lambda row: row.source,
    "hash": lambda row: row.content or None,
    "tags": lambda row: ", ".join(row.tags) or None,
    "name": lambda row: row.name.casefold(),
}


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
        fresh = []
        for row in rows:
            at = self._at.get(row.id)
            if at is None:
                fresh.append(Entry(row))
            elif self._entries[at].row != row:
                self._replace(at, row)
        for start in range(0, len(fresh), BATCH):
            self._append(fresh[start : start + BATCH])
        self.sort(COLUMNS.index(self._sort[0]), self._sort[1])

    def remove(self, ids: Iterable[int]) -> None:
        """Take rows out."""
        for at in sorted((self._at[one] for one in set(ids) if one in self._at), reverse=True):
            self.beginRemoveRows(QModelIndex(), at, at)
            del self._entries[at]
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
        self.dataChanged.emit(parent, self.index(at, len(COLUMNS) - 1))

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
        if role in (_Role.DisplayRole, _Role.AccessibleTextRole):
            return entry.texts[column]
        if role == _Role.ToolTipRole:
            return entry.tips.get(column) or entry.texts[column]
        if role == _Role.EditRole and column == "name":
            return entry.row.name
        if role == ModelRole.ID:
            return entry.row.id
        if role == ModelRole.SORT:
            return _KEYS[column](entry.row)
        if role in (ModelRole.STATE, PaintRole.STATE):
            return STATE_IDS[entry.row.state]
        return _paint_data(entry, column, role)

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
        sorted_entries = _sorted(self._entries, *self._sort)
        if sorted_entries == self._entries:
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        owners = [index.internalId() or self._entries[index.row()].row.id for index in before]
        self._entries = sorted_entries
        self._number()
        for index, owner in zip(before, owners, strict=True):
            if not index.internalId():
                moved = self.createIndex(self._at[owner], index.column(), 0)
                self.changePersistentIndex(index, moved)
        self.layoutChanged.emit()

    def _id_at(self, index: Index) -> int:
        return self._entries[index.row()].row.id


class LibraryFilter(QSortFilterProxyModel):
    """Shows the models whose ids are accepted; sorting is the model's own."""

    def __init__(self, model: LibraryModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._accepted: frozenset[int] | None = None
        self.setSourceModel(model)
        self.setDynamicSortFilter(False)

    def accept(self, ids: frozenset[int] | None) -> None:
        """Show these only; None shows all."""
        if ids != self._accepted:
            self._accepted = ids
            self.invalidateRowsFilter()

    def filterAcceptsRow(self, row: int, parent: Index) -> bool:  # noqa: N802 - Qt's name
        """Files go with their model."""
        if self._accepted is None or parent.isValid():
            return True
        return self._model.index(row, 0).data(ModelRole.ID) in self._accepted

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Let the model sort: comparing in Python, pair by pair, takes seconds."""
        self._model.sort(column, order)

    def ids(self, indexes: Iterable[QModelIndex]) -> list[int]:
        """Ids of the models of these indexes, each once, in their order."""
        found = (self._model.row_at(self.mapToSource(index)) for index in indexes)
        return list(dict.fromkeys(row.id for row in found if row is not None))


def _sorted(entries: list[Entry], column: str, order: Qt.SortOrder) -> list[Entry]:
    key, reverse = _KEYS[column], order is Qt.SortOrder.DescendingOrder
    by_name = sorted(entries, key=lambda entry: (entry.row.name.casefold(), entry.row.path))
    known = [entry for entry in by_name if key(entry.row) is not None]
    unknown = [entry for entry in by_name if key(entry.row) is None]
    return sorted(known, key=lambda entry: key(entry.row), reverse=reverse) + unknown


def _paint_data(entry: Entry, column: str, role: int) -> Any:
    if column == "name":
        if role == PaintRole.ICON:
            return ROLE_ICONS.get(entry.row.role.casefold(), "unknown")
        if role == PaintRole.BADGES:
            return entry.badges
    if role == PaintRole.FOLDED:
        return column == "location"
    if role == PaintRole.TONE:
        if column == "saved":
            return "good"
        return "text" if column in {"name", "params", "size", "quality"} else "text-2"
    return None


def column_titles() -> dict[str, str]:
    """Id to title."""
    return {
        "name": _tr("Name"),
        "role": _tr("Role"),
        "family": _tr("Family"),
        "params": _tr("Parameters"),
        "dtype": _tr("Type"),
        "size": _tr("On disk"),
        "saved": _tr("Saved"),
        "quality": _tr("Quality"),
        "safety": _tr("Safety"),
        "state": _tr("State"),
        "modified": _tr("Modified"),
        "used": _tr("Last used"),
        "location": _tr("Location"),
        "arch": _tr("Architecture"),
        "licence": _tr("Licence"),
        "source": _tr("Source"),
        "hash": _tr("Content hash"),
        "tags": _tr("Tags"),
    }
