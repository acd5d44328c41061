"""The queue as a table: a pure view, every string made once a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QCoreApplication,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    Slot,
)

from deltaworks_gui.formats import (
    format_about,
    format_ago,
    format_clock,
    format_exact_size,
    format_moment,
    format_seconds,
    format_size,
)
from deltaworks_gui.lanes.jobs import FULL, Job, JobState
from deltaworks_gui.lanes.queue import JobQueue
from deltaworks_gui.models.roles import ModelRole
from deltaworks_gui.widgets.delegates import PaintRole

Index = QModelIndex | QPersistentModelIndex
_Role = Qt.ItemDataRole
_S = JobState

COLUMNS = ("name", "state", "progress", "elapsed", "remaining", "lane", "mem", "out", "queued")
NUMBERS = ("elapsed", "mem")

STATE_IDS = {
    _S.QUEUED: "queued",
    _S.PREPARING: "preparing",
    _S.RUNNING: "running",
    _S.PAUSED: "paused",
    _S.CANCELLING: "cancelling",
    _S.CANCELLED: "cancelled",
    _S.SUCCEEDED: "succeeded",
    _S.WARNED: "warnings",
    _S.FAILED: "failed",
    _S.INTERRUPTED: "interrupted",
}
_WITH_BAR = {_S.PREPARING, _S.RUNNING, _S.PAUSED, _S.CANCELLING}


def _tr(text: str) -> str:
    return QCoreApplication.translate("JobsModel", text)


def state_word(state: JobState) -> str:
    """The state as it is shown."""
    words = {
        _S.QUEUED: _tr("Queued"),
        _S.PREPARING: _tr("Preparing"),
        _S.RUNNING: _tr("Running"),
        _S.PAUSED: _tr("Paused"),
        _S.CANCELLING: _tr("Cancelling"),
        _S.CANCELLED: _tr("Cancelled"),
        _S.SUCCEEDED: _tr("Succeeded"),
        _S.WARNED: _tr("Succeeded with warnings"),
        _S.FAILED: _tr("Failed"),
        _S.INTERRUPTED: _tr("Interrupted"),
    }
    return words[state]


def progress_text(job: Job) -> str:
    """``trial 3/12 · layer 17/32 · 46 %``; why, when it did not succeed."""
    if job.state in (_S.FAILED, _S.INTERRUPTED) and job.error:
        return job.error
    if job.state is _S.WARNED:
        return "; ".join(job.warnings)
    if job.state not in _WITH_BAR:
        return job.stage
    percent = "" if job.is_counting else _tr("{0} %").format(job.progress * 100 // FULL)
    return " · ".join(text for text in (job.stage, percent) if text)


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job and its strings."""

    job: Job
    texts: dict[str, str]
    tips: dict[str, str]


def _row(job: Job, lane_title: str) -> JobRow:
    ran = job.started_at is not None
    queued = (
        format_ago(job.queued_at) if job.state not in _WITH_BAR else format_clock(job.queued_at)
    )
    texts = {
        "name": job.name,
        "state": state_word(job.state),
        "progress": progress_text(job),
        "elapsed": format_seconds(job.running_seconds) if ran else "",
        "remaining": format_about(job.remaining_seconds) if job.state in _WITH_BAR else "",
        "lane": lane_title,
        "mem": format_size(job.peak_bytes) if job.peak_bytes else "",
        "out": job.output,
        "queued": queued,
    }
    tips = {
        "name": job.name,
        "progress": texts["progress"],
        "mem": format_exact_size(job.peak_bytes) if job.peak_bytes else "",
        "queued": format_moment(job.queued_at),
    }
    return JobRow(job, texts, tips)


class JobsModel(QAbstractTableModel):
    """Running jobs first, then the queue, then finished ones, newest first."""

    def __init__(self, queue: JobQueue, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._queue = queue
        self._lanes = {lane.id: lane.title for lane in queue.lanes()}
        self._rows = [self._make(job) for job in queue.jobs()]
        queue.job_added.connect(self._on_order)
        queue.job_removed.connect(self._on_order)
        queue.order_changed.connect(self._on_order)
        queue.job_changed.connect(self._on_changed)

    def job_at(self, row: int) -> Job:
        """The job of a row."""
        return self._rows[row].job

    def row_of(self, job_id: str) -> int:
        """The row of a job; -1 when it is not here."""
        return next((at for at, row in enumerate(self._rows) if row.job.id == job_id), -1)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """How many jobs."""
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
        column = COLUMNS[section]
        if role == _Role.DisplayRole:
            return _titles()[column]
        if role == _Role.TextAlignmentRole and column in NUMBERS:
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
            return row.tips.get(column) or row.texts[column]
        if role == ModelRole.ID:
            return row.job.id
        if role in (ModelRole.STATE, PaintRole.STATE):
            return STATE_IDS[row.job.state]
        if role == PaintRole.PROGRESS and column == "progress" and row.job.state in _WITH_BAR:
            return -1 if row.job.is_counting else row.job.progress
        return None

    def _make(self, job: Job) -> JobRow:
        return _row(job, self._lanes.get(job.lane, job.lane))

    @Slot(object)
    def _on_changed(self, job: Job) -> None:
        row = self.row_of(job.id)
        if row < 0:
            return
        moved = self._rows[row].job.state is not job.state
        self._rows[row] = self._make(job)
        self.dataChanged.emit(self.index(row, 0), self.index(row, len(COLUMNS) - 1))
        if moved:
            self._on_order()

    @Slot()
    def _on_order(self, _job: object = None) -> None:
        """Bring the rows in the queue's order, one small change after another."""
        target = self._queue.jobs()
        wanted = {job.id for job in target}
        for row in reversed(range(len(self._rows))):
            if self._rows[row].job.id not in wanted:
                self.beginRemoveRows(QModelIndex(), row, row)
                del self._rows[row]
                self.endRemoveRows()
        for place, job in enumerate(target):
            at = self.row_of(job.id)
            if at < 0:
                self.beginInsertRows(QModelIndex(), place, place)
                self._rows.insert(place, self._make(job))
                self.endInsertRows()
            elif at != place:  # what stands before ``place`` is in order, so it only moves up
                self.beginMoveRows(QModelIndex(), at, at, QModelIndex(), place)
                self._rows.insert(place, self._rows.pop(at))
                self.endMoveRows()


def _titles() -> dict[str, str]:
    return {
        "name": _tr("Job"),
        "state": _tr("State"),
        "progress": _tr("Progress"),
        "elapsed": _tr("Elapsed"),
        "remaining": _tr("Remaining"),
        "lane": _tr("Device"),
        "mem": _tr("Peak memory"),
        "out": _tr("Output"),
        "queued": _tr("Queued at"),
    }
