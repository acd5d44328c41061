"""The last ten thousand log lines, as a table that grows at its end."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QCoreApplication,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
)

from deltaworks_gui.formats import format_clock, format_moment
from deltaworks_gui.models.roles import ModelRole
from deltaworks_gui.widgets.delegates import PaintRole

Index = QModelIndex | QPersistentModelIndex
_Role = Qt.ItemDataRole

COLUMNS = ("time", "level", "source", "message")
LIMIT = 10_000
BATCH = 200
_TONES = {logging.WARNING: "warn", logging.ERROR: "bad", logging.CRITICAL: "bad"}


def _tr(text: str) -> str:
    return QCoreApplication.translate("LogModel", text)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One record, with its strings."""

    when: float
    level: int
    source: str
    message: str

    @property
    def text(self) -> str:
        """The line as it is copied."""
        return f"{format_clock(self.when)}  {level_word(self.level)}  {self.source}  {self.message}"


def level_word(level: int) -> str:
    """The level as it is shown."""
    if level >= logging.ERROR:
        return _tr("Error")
    if level >= logging.WARNING:
        return _tr("Warning")
    return _tr("Info") if level >= logging.INFO else _tr("Debug")


class LogModel(QAbstractTableModel):
    """A bounded list; the files keep all. Filters by level and text in plain Python."""

    def __init__(self, limit: int = LIMIT, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._limit = limit
        self._store: deque[LogLine] = deque(maxlen=limit)
        self._shown: deque[LogLine] = deque()
        self._level = logging.INFO
        self._text = ""

    @property
    def total(self) -> int:
        """Lines in memory, shown or not."""
        return len(self._store)

    def line_at(self, row: int) -> LogLine:
        """The line of a row."""
        return self._shown[row]

    def last(self, count: int) -> list[LogLine]:
        """The newest lines, oldest of them first."""
        return list(islice(self._store, max(0, len(self._store) - count), None))

    def append(self, lines: list[LogLine]) -> None:
        """Add lines at the end; the oldest go."""
        lines = lines[-self._limit :]
        self._store.extend(lines)
        passed = [line for line in lines if self._passes(line)]
        surplus = len(self._shown) + len(passed) - self._limit
        if surplus > 0:
            self.beginRemoveRows(QModelIndex(), 0, surplus - 1)
            for _ in range(surplus):
                self._shown.popleft()
            self.endRemoveRows()
        if passed:
            first = len(self._shown)
            self.beginInsertRows(QModelIndex(), first, first + len(passed) - 1)
            self._shown.extend(passed)
            self.endInsertRows()

    def set_filter(self, level: int, text: str) -> None:
        """Show lines of at least this level that hold this text."""
        if (level, text.casefold()) == (self._level, self._text):
            return
        self._level, self._text = level, text.casefold()
        self.beginResetModel()
        self._shown = deque(line for line in self._store if self._passes(line))
        self.endResetModel()

    def _passes(self, line: LogLine) -> bool:
        if line.level < self._level:
            return False
        return not self._text or self._text in f"{line.source} {line.message}".casefold()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """Lines that pass the filter."""
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """Time, level, source, message."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = _Role.DisplayRole
    ) -> Any:
        """The titles of the columns."""
        if orientation is Qt.Orientation.Horizontal and role == _Role.DisplayRole:
            return (_tr("Time"), _tr("Level"), _tr("Source"), _tr("Message"))[section]
        return None

    def data(self, index: Index, role: int = _Role.DisplayRole) -> Any:
        """One cell."""
        if not index.isValid():
            return None
        line, column = self._shown[index.row()], COLUMNS[index.column()]
        if role in (_Role.DisplayRole, _Role.AccessibleTextRole):
            return _cell(line, column)
        if role == _Role.ToolTipRole:
            return format_moment(line.when) if column == "time" else _cell(line, column)
        if role == PaintRole.TONE:
            return _TONES.get(line.level) if column in ("level", "message") else "text-2"
        if role == ModelRole.SORT:
            return line.when
        return None


def _cell(line: LogLine, column: str) -> str:
    if column == "time":
        return format_clock(line.when)
    if column == "level":
        return level_word(line.level)
    return (
        line.source if column == "source" else line.message.splitlines()[0] if line.message else ""
    )
