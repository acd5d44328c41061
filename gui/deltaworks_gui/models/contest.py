"""Merges of a comparison as a table: a column a task, base and experts among the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QCoreApplication,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
)

from deltaworks.studies.contest_record import Contest, Entry, Line, Score
from deltaworks_gui.formats import (
    format_exact_size,
    format_number,
    format_percent,
    format_seconds,
    format_size,
)
from deltaworks_gui.models.roles import ModelRole
from deltaworks_gui.widgets.delegates import PaintRole

Index = QModelIndex | QPersistentModelIndex
_Role = Qt.ItemDataRole

LEAD = ("number", "method", "settings")
TAIL = ("average", "normalised", "time", "memory", "size", "kept")
LEFT = frozenset({"method", "settings", "kept"})
"""Columns of words; the others hold numbers."""


def _tr(text: str) -> str:
    return QCoreApplication.translate("ContestModel", text)


def _titles() -> dict[str, str]:
    return {
        "number": "#",
        "method": _tr("Method"),
        "settings": _tr("Settings"),
        "average": _tr("Average"),
        "normalised": _tr("Of experts"),
        "time": _tr("Time"),
        "memory": _tr("Peak memory"),
        "size": _tr("Size"),
        "kept": _tr("Kept"),
    }


@dataclass(frozen=True)
class ContestRow:
    """One row, ready to show.

    Args:
        number: of the entry; 0 for base and experts.
        kind: ``entry``, ``base`` or ``expert``.
        texts: by column.  keys: to sort by; None is unknown.  tips: where they say more.
    """

    number: int
    kind: str
    texts: Mapping[str, str]
    keys: Mapping[str, Any]
    tips: Mapping[str, str]
    state: str = "done"
    badge: str = ""


def rows_of(contest: Contest) -> list[ContestRow]:
    """Base and experts, then every merge."""
    return [
        *(_line_row(line) for line in contest.lines),
        *(_entry_row(entry) for entry in contest.entries),
    ]


def _scores(scores: Mapping[str, Score], average: float | None, share: float | None) -> Any:
    values: dict[str, float | None] = {task: one.value for task, one in scores.items()}
    values |= {"average": average, "normalised": share}
    texts = {name: format_percent(value) for name, value in values.items()}
    tips = {
        task: _tr("{0} to {1} (95 %), {2} items").format(
            format_percent(one.low), format_percent(one.high), one.n
        )
        for task, one in scores.items()
        if one.low is not None
    }
    return texts, values, tips


def _line_row(line: Line) -> ContestRow:
    texts, keys, tips = _scores(line.scores, line.average, line.normalised)
    word = _tr("Base") if line.id == "base" else _tr("Expert")
    texts |= {"method": line.name, "settings": word}
    return ContestRow(0, line.id, texts, {**keys, "method": line.name.casefold()}, tips)


def _entry_row(entry: Entry) -> ContestRow:
    texts, keys, tips = _scores(entry.scores, entry.average, entry.normalised)
    texts |= {
        "number": str(entry.number),
        "method": entry.title,
        "settings": entry.settings,
        "time": _time(entry.seconds),
        "memory": format_size(entry.peak_bytes) if entry.peak_bytes else "",
        "size": format_size(entry.n_bytes) if entry.n_bytes else "",
        "kept": _word(entry),
    }
    keys |= {
        "number": entry.number,
        "method": entry.title.casefold(),
        "settings": entry.settings.casefold(),
        "time": entry.seconds or None,
        "memory": entry.peak_bytes or None,
        "size": entry.n_bytes or None,
        "kept": bool(entry.artefact),
    }
    tips |= {
        "settings": ", ".join(f"{name} = {value}" for name, value in entry.options.items()),
        "size": format_exact_size(entry.n_bytes) if entry.n_bytes else "",
        "kept": entry.reason,
        "time": _tr("Processor time of the merge"),
        "memory": _tr("Planned: the largest tensor with all that the method holds beside it"),
    }
    badge = _tr("best") if entry.winner else ""
    if entry.switches:
        texts["method"] += " *"
        tips["method"] = _tr("One model an expert; each task is done by the right one")
    return ContestRow(entry.number, "entry", texts, keys, tips, entry.state, badge)


def _time(seconds: float) -> str:
    if seconds >= 10:
        return format_seconds(seconds)
    return _tr("{0} s").format(format_number(seconds)) if seconds else ""


def _word(entry: Entry) -> str:
    if entry.artefact:
        return _tr("kept")
    words = {"failed": _tr("failed"), "cancelled": _tr("cancelled"), "running": _tr("running…")}
    return words.get(entry.state, "")


class ContestModel(QAbstractTableModel):
    """Rows of one comparison. Sorting is a proxy's."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: list[ContestRow] = []
        self._columns: tuple[str, ...] = (*LEAD, *TAIL)
        self._tasks: dict[str, str] = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """Ids of the columns; a task's is its own."""
        return self._columns

    @property
    def rows(self) -> tuple[ContestRow, ...]:
        """As they came."""
        return tuple(self._rows)

    def show(self, contest: Contest | None) -> None:
        """Show a comparison; the rows stay where only their values changed."""
        tasks = dict(contest.tasks) if contest is not None else {}
        rows = rows_of(contest) if contest is not None else []
        same = tasks == self._tasks and [(r.kind, r.number) for r in rows] == [
            (r.kind, r.number) for r in self._rows
        ]
        if same:
            if rows and rows != self._rows:
                self._rows = rows
                last = self.index(len(rows) - 1, len(self._columns) - 1)
                self.dataChanged.emit(self.index(0, 0), last)
            return
        self.beginResetModel()
        self._rows, self._tasks = rows, tasks
        self._columns = (*LEAD, *tasks, *TAIL)
        self.endResetModel()

    def is_number(self, column: int) -> bool:
        """Whether a column is right-aligned."""
        return self._columns[column] not in LEFT

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """How many merges and lines."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """One a task, and the others."""
        return 0 if parent.isValid() else len(self._columns)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = _Role.DisplayRole
    ) -> Any:
        """The titles of the columns."""
        if orientation is not Qt.Orientation.Horizontal or section >= len(self._columns):
            return None
        if role in (_Role.DisplayRole, _Role.ToolTipRole):
            column = self._columns[section]
            return self._tasks.get(column) or _titles().get(column, column)
        if role == _Role.TextAlignmentRole and self.is_number(section):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: Index, role: int = _Role.DisplayRole) -> Any:
        """Look up what was made before."""
        if not index.isValid():
            return None
        row, column = self._rows[index.row()], self._columns[index.column()]
        if role == _Role.DisplayRole:
            return row.texts.get(column, "")
        if role == _Role.AccessibleTextRole:
            return " ".join(filter(None, (row.texts.get(column, ""), _badge(row, column))))
        if role == _Role.ToolTipRole:
            return row.tips.get(column) or row.texts.get(column, "")
        if role == ModelRole.SORT:
            return row.keys.get(column)
        if role == ModelRole.ID:
            return row.number
        return _paint(row, column, role)


def _badge(row: ContestRow, column: str) -> str:
    return row.badge if column == "method" else ""


def _paint(row: ContestRow, column: str, role: int) -> Any:
    if role == PaintRole.ICON and column == "method":
        return {"base": "base", "expert": "expert"}.get(row.kind, "merge")
    if role == PaintRole.BADGES and _badge(row, column):
        return (row.badge,)
    if role == PaintRole.STRONG:
        return column in {"method", "average"} and bool(row.badge) and row.kind == "entry"
    if role == PaintRole.TONE:
        if row.state in ("failed", "cancelled"):
            return "bad" if column == "kept" and row.state == "failed" else "text-3"
        return "text" if column in {"method", "average"} and row.kind == "entry" else "text-2"
    return None
