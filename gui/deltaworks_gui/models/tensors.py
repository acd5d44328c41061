"""A model's tensors as a table: read once from headers, shown in pages, filtered as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QCoreApplication,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
)

from deltaworks_gui.formats import format_exact_size, format_number, format_percent, format_size
from deltaworks_gui.models.roles import ModelRole
from deltaworks_gui.widgets.delegates import PaintRole

Index = QModelIndex | QPersistentModelIndex
_Role = Qt.ItemDataRole
PAGE = 500
"""Rows that are shown at once, and then more."""

COLUMNS = ("group", "size", "error", "ratio", "shape", "dtype", "name")
NUMBERS = frozenset({"size", "error", "ratio"})


def _tr(text: str) -> str:
    return QCoreApplication.translate("TensorModel", text)


@dataclass(frozen=True)
class TensorRow:
    """One tensor.

    Args:
        name: as stored.
        shape: as stored.
        dtype: its safetensors name.
        size_bytes: of its data; of all parts, in a delta file.
        group: where in the network, ``block 3 · self_attn.q_proj``.
        error: of deltas, squared error relative to the change; None where unknown.
        ratio: of deltas, full size over stored size.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    size_bytes: int
    group: str
    error: float | None = None
    ratio: float | None = None

    @cached_property
    def texts(self) -> dict[str, str]:
        """What the cells say."""
        return {
            "name": self.name,
            "shape": " × ".join(map(str, self.shape)) or _tr("scalar"),
            "dtype": self.dtype,
            "size": format_size(self.size_bytes),
            "group": self.group,
            "error": "" if self.error is None else format_percent(self.error),
            "ratio": "" if self.ratio is None else f"{format_number(self.ratio)}×",
        }


_KEYS: dict[str, Callable[[TensorRow], Any]] = {
    "name": lambda row: row.name,
    "shape": lambda row: row.shape,
    "dtype": lambda row: row.dtype,
    "size": lambda row: row.size_bytes,
    "group": lambda row: row.group,
    "error": lambda row: row.error,
    "ratio": lambda row: row.ratio,
}


class TensorModel(QAbstractTableModel):
    """Sorts and filters everything it holds, shows it in pages."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._all: tuple[TensorRow, ...] = ()
        self._rows: list[TensorRow] = []
        self._shown = 0
        self._filter = ""
        self._sort: tuple[str, Qt.SortOrder] | None = None

    def show_rows(self, rows: Sequence[TensorRow]) -> None:
        """Show another model's tensors."""
        self._all = tuple(rows)
        self._arrange()

    def filter_by(self, text: str) -> None:
        """Show only names and groups that hold every word."""
        if text.strip().casefold() != self._filter:
            self._filter = text.strip().casefold()
            self._arrange()

    @property
    def total(self) -> int:
        """How many tensors pass the filter."""
        return len(self._rows)

    @property
    def total_bytes(self) -> int:
        """Bytes of those."""
        return sum(row.size_bytes for row in self._rows)

    @property
    def has_errors(self) -> bool:
        """Whether any tensor says how far it is off: only deltas' do."""
        return any(row.error is not None for row in self._all)

    def _arrange(self) -> None:
        self.beginResetModel()
        words = self._filter.split()
        self._rows = [
            row
            for row in self._all
            if all(word in f"{row.name} {row.group}".casefold() for word in words)
        ]
        if self._sort is not None:
            column, order = self._sort
            key = _KEYS[column]
            known = [row for row in self._rows if key(row) is not None]
            unknown = [row for row in self._rows if key(row) is None]
            is_down = order is Qt.SortOrder.DescendingOrder
            self._rows = sorted(known, key=key, reverse=is_down) + unknown
        self._shown = min(PAGE, len(self._rows))
        self.endResetModel()

    # Qt's questions

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """Rows that were fetched."""
        return 0 if parent.isValid() else self._shown

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """As many as ``COLUMNS``."""
        return 0 if parent.isValid() else len(COLUMNS)

    def canFetchMore(self, parent: Index) -> bool:
        """Whether there are more rows than are shown."""
        return not parent.isValid() and self._shown < len(self._rows)

    def fetchMore(self, parent: Index) -> None:
        """Show the next page."""
        if parent.isValid():
            return
        more = min(PAGE, len(self._rows) - self._shown)
        self.beginInsertRows(QModelIndex(), self._shown, self._shown + more - 1)
        self._shown += more
        self.endInsertRows()

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = _Role.DisplayRole
    ) -> Any:
        """The titles of the columns."""
        if orientation is not Qt.Orientation.Horizontal or not 0 <= section < len(COLUMNS):
            return None
        if role == _Role.DisplayRole:
            return _titles()[COLUMNS[section]]
        if role == _Role.TextAlignmentRole and COLUMNS[section] in NUMBERS:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: Index, role: int = _Role.DisplayRole) -> Any:
        """What a cell says."""
        if not index.isValid() or index.row() >= self._shown:
            return None
        row, column = self._rows[index.row()], COLUMNS[index.column()]
        if role in (_Role.DisplayRole, _Role.AccessibleTextRole):
            return row.texts[column]
        if role == _Role.ToolTipRole:
            tips = {"size": format_exact_size(row.size_bytes), "group": row.name}
            return tips.get(column, row.texts[column])
        if role == ModelRole.SORT:
            return _KEYS[column](row)
        if role == ModelRole.ID:
            return row.name
        if role == PaintRole.FOLDED:
            return column == "name"
        if role == PaintRole.TONE:
            return "text" if column in {"group", "size"} else "text-2"
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort everything, not only what is shown."""
        if 0 <= column < len(COLUMNS):
            self._sort = (COLUMNS[column], order)
            self._arrange()


def _titles() -> dict[str, str]:
    return {
        "group": _tr("Tensor"),
        "size": _tr("Size"),
        "error": _tr("Error"),
        "ratio": _tr("Ratio"),
        "shape": _tr("Shape"),
        "dtype": _tr("Type"),
        "name": _tr("Name"),
    }
