"""The trials of the chosen sweeps as a table: the full alternative to the plot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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

from deltaworks.studies.trials import Sweep, Trial
from deltaworks_gui.formats import (
    format_exact_size,
    format_number,
    format_percent,
    format_seconds,
    format_size,
)
from deltaworks_gui.models.ranges import ranges_of
from deltaworks_gui.models.roles import ModelRole
from deltaworks_gui.widgets.delegates import PaintRole

Index = QModelIndex | QPersistentModelIndex
Key = tuple[str, int]
"""Sweep id and trial number."""
_Role = Qt.ItemDataRole

COLUMNS = (
    "number",
    "expert",
    "method",
    "settings",
    "size",
    "ratio",
    "quality",
    "measured",
    "safety",
    "time",
    "memory",
    "front",
    "kept",
)
NUMBERS = frozenset({"number", "size", "ratio", "quality", "time", "memory"})


def _tr(text: str) -> str:
    return QCoreApplication.translate("TrialModel", text)


def quality_text(trial: Trial) -> str:
    """``98.2 %``, with a sign before estimates."""
    if trial.quality is not None and trial.measured_on:
        return format_percent(trial.quality)
    value = trial.quality if trial.quality is not None else trial.fidelity
    return "" if value is None else f"≈ {format_percent(value)}"


def is_repair(sweep: Sweep) -> bool:
    """Whether its trials are repaired models, with refusals beside their skill."""
    return sweep.recipe.get("kind") == "repair-sweep"


def safety_text(trial: Trial) -> str:
    """``refuses 98 %``, with a sign before estimates."""
    found = trial.measures.get("refusal")
    if found is None:
        return ""
    near = "≈ " if found.get("is_estimate") else ""
    return _tr("refuses {0}").format(near + format_percent(found["value"]))


def ratio_text(trial: Trial) -> str:
    """``15.6×``."""
    if not trial.file_bytes or not trial.original_bytes:
        return ""
    return f"{format_number(trial.original_bytes / trial.file_bytes)}×"


def measured_text(trial: Trial) -> str:
    """How its quality was measured; why there is none, for one that failed."""
    if trial.state in ("failed", "cancelled"):
        return trial.reason or (_tr("Failed") if trial.state == "failed" else _tr("Cancelled"))
    if trial.state != "done":
        return {"waiting": _tr("Waiting"), "running": _tr("Running…")}[trial.state]
    return trial.measured_on or _tr("weights only, an estimate")


@dataclass(frozen=True)
class TrialRow:
    """A trial and its strings."""

    sweep: str
    trial: Trial

    @property
    def key(self) -> Key:
        """What names it on the plot as well."""
        return self.sweep, self.trial.number

    @cached_property
    def texts(self) -> dict[str, str]:
        """What the cells say."""
        trial = self.trial
        return {
            "number": str(trial.number),
            "expert": trial.expert,
            "method": trial.title,
            "settings": trial.settings,
            "size": format_size(trial.file_bytes) if trial.file_bytes else "",
            "ratio": ratio_text(trial),
            "quality": quality_text(trial),
            "measured": measured_text(trial),
            "safety": safety_text(trial),
            "time": format_seconds(trial.seconds) if trial.seconds >= 1 else _short(trial.seconds),
            "memory": format_size(trial.peak_bytes) if trial.peak_bytes else "",
            "front": _tr("recommended") if trial.recommended else _tr("front") * trial.on_front,
            "kept": _tr("kept") * trial.kept,
        }

    def tip(self, column: str) -> str:
        """What a cell says when pointed at."""
        trial = self.trial
        if column == "size":
            return format_exact_size(trial.file_bytes)
        if column == "settings":
            return ", ".join(f"{name} = {value}" for name, value in trial.options.items())
        if column == "quality" and trial.quality_low is not None:
            low, high = format_percent(trial.quality_low), format_percent(trial.quality_high)
            return _tr("{0}: {1} to {2} (95 %)").format(trial.measured_on, low, high)
        return self.texts[column]


def _short(seconds: float) -> str:
    return f"{format_number(seconds, 2)} s" if seconds > 0 else ""


_KEYS: dict[str, Callable[[Trial], Any]] = {
    "number": lambda trial: trial.number,
    "expert": lambda trial: trial.expert.casefold(),
    "method": lambda trial: trial.title.casefold(),
    "settings": lambda trial: trial.settings.casefold(),
    "size": lambda trial: trial.file_bytes or None,
    "ratio": lambda trial: trial.original_bytes / trial.file_bytes if trial.file_bytes else None,
    "quality": lambda trial: trial.quality if trial.quality is not None else trial.fidelity,
    "measured": lambda trial: trial.measured_on or None,
    "safety": lambda trial: trial.measures.get("refusal", {}).get("value"),
    "time": lambda trial: trial.seconds or None,
    "memory": lambda trial: trial.peak_bytes or None,
    "front": lambda trial: (not trial.recommended, not trial.on_front),
    "kept": lambda trial: not trial.kept,
}


class TrialModel(QAbstractTableModel):
    """Rows of one or more sweeps."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: list[TrialRow] = []
        self._places: dict[Key, int] = {}
        self._sort = ("number", Qt.SortOrder.AscendingOrder)

    def show(self, sweeps: Sequence[Sweep]) -> None:
        """Show these sweeps' trials; rows that stay keep their selection."""
        wanted = [TrialRow(sweep.id, trial) for sweep in sweeps for trial in sweep.trials]
        keys = {row.key for row in wanted}
        gone = [at for at, row in enumerate(self._rows) if row.key not in keys]
        for first, last in reversed(ranges_of(gone)):
            self.beginRemoveRows(QModelIndex(), first, last)
            del self._rows[first : last + 1]
            self.endRemoveRows()
        self._number()
        fresh = [row for row in wanted if row.key not in self._places]
        is_other = self._replace(row for row in wanted if row.key in self._places)
        if fresh:
            first = len(self._rows)
            self.beginInsertRows(QModelIndex(), first, first + len(fresh) - 1)
            self._rows += fresh
            self._number()
            self.endInsertRows()
        if fresh or is_other:
            self.sort(COLUMNS.index(self._sort[0]), self._sort[1])

    def _replace(self, rows: Iterable[TrialRow]) -> bool:
        """Take over what is new of rows that are shown; False when nothing is."""
        changed = []
        for row in rows:
            at = self._places[row.key]
            if self._rows[at].trial is not row.trial and self._rows[at].trial != row.trial:
                self._rows[at] = row
                changed.append(at)
        for first, last in ranges_of(changed):
            self.dataChanged.emit(self.index(first, 0), self.index(last, len(COLUMNS) - 1))
        return bool(changed)

    def _number(self) -> None:
        self._places = {row.key: at for at, row in enumerate(self._rows)}

    def row_at(self, row: int) -> TrialRow:
        """A row by its place."""
        return self._rows[row]

    def place_of(self, key: Key) -> int:
        """The place of a trial; -1 when it is not shown."""
        return self._places.get(key, -1)

    @property
    def rows(self) -> list[TrialRow]:
        """As shown."""
        return list(self._rows)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """How many trials."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """As many as ``COLUMNS``."""
        return 0 if parent.isValid() else len(COLUMNS)

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
        """Look up what was made before."""
        if not index.isValid():
            return None
        row, column = self._rows[index.row()], COLUMNS[index.column()]
        if role in (_Role.DisplayRole, _Role.AccessibleTextRole):
            return row.texts[column]
        if role == _Role.ToolTipRole:
            return row.tip(column)
        if role == ModelRole.ID:
            return row.key
        if role == ModelRole.SORT:
            return _KEYS[column](row.trial)
        if role == ModelRole.STATE:
            return row.trial.state
        return _paint_data(row.trial, column, role)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by raw values, unknown ones last both ways."""
        if not 0 <= column < len(COLUMNS):
            return
        self._sort = (COLUMNS[column], order)
        ordered = _sorted(self._rows, *self._sort)
        if ordered == self._rows:
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        keys = [self._rows[index.row()].key for index in before]
        self._rows = ordered
        self._number()
        for index, key in zip(before, keys, strict=True):
            self.changePersistentIndex(index, self.index(self._places[key], index.column()))
        self.layoutChanged.emit()


def _sorted(rows: list[TrialRow], column: str, order: Qt.SortOrder) -> list[TrialRow]:
    key = _KEYS[column]
    by_number = sorted(rows, key=lambda row: row.key)
    known = [row for row in by_number if key(row.trial) is not None]
    unknown = [row for row in by_number if key(row.trial) is None]
    reverse = order is Qt.SortOrder.DescendingOrder
    return sorted(known, key=lambda row: key(row.trial), reverse=reverse) + unknown


def _paint_data(trial: Trial, column: str, role: int) -> Any:
    if role == PaintRole.ICON and column == "front" and trial.recommended:
        return "star-filled"
    if role == PaintRole.TONE:
        if trial.state in ("failed", "cancelled"):
            return "bad" if column == "measured" else "text-3"
        return "text" if column in {"method", "size", "quality"} else "text-2"
    return None


def column_titles() -> dict[str, str]:
    """Id to title."""
    return {
        "number": "#",
        "expert": _tr("Expert"),
        "method": _tr("Method"),
        "settings": _tr("Settings"),
        "size": _tr("Size"),
        "ratio": _tr("Ratio"),
        "quality": _tr("Quality"),
        "measured": _tr("Measured on"),
        "safety": _tr("Safety"),
        "time": _tr("Time"),
        "memory": _tr("Peak memory"),
        "front": _tr("Front"),
        "kept": _tr("Kept"),
    }
