"""The line at the foot: lanes, what runs, what was saved, what is free."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel, QSizePolicy, QStatusBar, QWidget

from deltaworks_gui.formats import format_exact_size, format_size
from deltaworks_gui.lanes.jobs import Job, Lane
from deltaworks_gui.theme import SPACE_M, SPACE_S, set_look
from deltaworks_gui.widgets.buttons import quiet_button
from deltaworks_gui.widgets.chip import Chip
from deltaworks_gui.widgets.elided_label import ElidedLabel
from deltaworks_gui.widgets.progress_line import ProgressLine
from deltaworks_gui.widgets.state_cell import StateLabel

RESERVE_BYTES = 5_000_000_000
RESERVE_SHARE = 0.02
_DOTS = {"running": "accent", "starting": "warn", "paused": "warn"}


def reserve_bytes(total_bytes: int) -> int:
    """What must stay free on a volume: 5 GB or 2 % of it, the larger."""
    return max(RESERVE_BYTES, int(total_bytes * RESERVE_SHARE))


class StatusBar(QStatusBar):
    """The status bar.

    Signals:
        saved_clicked: the user wants to know where the savings come from.
        lane_clicked: id of the lane whose chip was pressed.
    """

    saved_clicked = Signal()

    def __init__(self, lanes: list[Lane], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("StatusBar")
        self.setContentsMargins(SPACE_M, 0, SPACE_M, 0)
        self.setSizeGripEnabled(False)
        self._chips = {lane.id: Chip(object_name=f"LaneChip_{lane.id}") for lane in lanes}
        for lane in lanes:
            self.addWidget(self._chips[lane.id])
            self.show_lane(lane)
        self._job = ElidedLabel()
        self._job.setObjectName("StatusJob")
        self._job.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        self._progress = ProgressLine(thin=True, accessible_name=self.tr("Current job"))
        self._progress.setObjectName("StatusProgress")
        self._progress.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        self.addWidget(self._job)
        self.addWidget(self._progress)
        self._saved = quiet_button("", name="btn_saved")
        self._saved.setToolTip(
            self.tr("Full sizes of the originals minus the sizes of their deltas")
        )
        self._saved.clicked.connect(self.saved_clicked)
        self._free = QLabel()
        self._free.setObjectName("StatusFree")
        self._short = StateLabel()
        self._short.setObjectName("StatusShort")
        for widget in (self._saved, self._free, self._short):
            self.addPermanentWidget(widget)
        layout = self.layout()
        assert layout is not None
        layout.setSpacing(SPACE_S)
        self.show_saved(0)
        self._short.hide()
        self.show_job(None)

    def show_lane(self, lane: Lane) -> None:
        """Bring a lane's chip up to date."""
        words = {
            "idle": self.tr("idle"),
            "starting": self.tr("starting engine…"),
            "running": self.tr("running"),
            "paused": self.tr("paused"),
        }
        word = words.get(lane.state, lane.state)
        text = f"{lane.title} {word}"
        if lane.used_bytes and lane.state != "idle":
            text = f"{text} · {format_size(lane.used_bytes)}"
            if lane.total_bytes:
                text = self.tr("{0} of {1}").format(text, format_size(lane.total_bytes))
        dot = _DOTS.get(lane.state, "text-3")
        self._chips[lane.id].show_state(
            text, dot=dot, tooltip=format_exact_size(lane.used_bytes or None)
        )

    def show_job(self, job: Job | None) -> None:
        """Name the job that runs and how far it is; nothing when none does."""
        self._job.setVisible(job is not None)
        self._progress.setVisible(job is not None)
        if job is not None:
            if self._job.text() != job.name:
                self._job.setText(job.name)
            self._progress.set_value(-1 if job.is_counting else job.progress)

    def show_saved(self, saved_bytes: int) -> None:
        """What deltas saved so far, over the whole library."""
        text = self.tr("Saved so far: {0}").format(format_size(saved_bytes))
        self._saved.setText(text)
        self._saved.setAccessibleName(text)
        self._saved.setVisible(saved_bytes > 0)

    def show_free(self, free_bytes: int, total_bytes: int) -> None:
        """What is free on the store's volume, with a warning under the reserve."""
        text = self.tr("Free: {0}").format(format_size(free_bytes))
        short = free_bytes < reserve_bytes(total_bytes)
        self._free.setText(text)
        self._free.setToolTip(format_exact_size(free_bytes))
        self._free.setVisible(not short)
        self._short.setVisible(short)
        set_look(self._free, role="secondary")
        if short:
            reserve = format_size(reserve_bytes(total_bytes))
            self._short.show_state(
                "warn", text, self.tr("Less than the reserve of {0}").format(reserve)
            )
