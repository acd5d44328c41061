"""Asked when the window closes while jobs run."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDialogButtonBox, QWidget

from deltaworks_gui.dialogs.base import Dialog
from deltaworks_gui.formats import format_seconds
from deltaworks_gui.lanes.jobs import FULL, Job
from deltaworks_gui.widgets.buttons import danger_button, make_button
from deltaworks_gui.widgets.fact_list import FactList

_Role = QDialogButtonBox.ButtonRole


class QuitBusyDialog(Dialog):
    """Says what each job would lose.

    Signals:
        background_chosen, quit_chosen: the buttons; the third does nothing.
    """

    background_chosen = Signal()
    quit_chosen = Signal()

    def __init__(self, jobs: Sequence[Job], parent: QWidget | None = None) -> None:
        count = len(jobs)
        super().__init__("DlgQuitBusy", "", parent)
        title = (
            self.tr("1 job is running")
            if count == 1
            else self.tr("{0} jobs are running").format(count)
        )
        self.set_title(title)
        self.sentence(self.tr("Quitting now would lose this work. Its partial files are removed."))
        losses = FactList(accessible_name=title)
        for job in jobs:
            done = f"{format_seconds(job.running_seconds)} · {job.progress * 100 // FULL} %"
            losses.set_fact(job.id, job.name, done)
        self.body.addWidget(losses)
        self.body.addStretch(1)
        self._background = make_button(self.tr("Keep running in background"), name="btn_background")
        self._quit = danger_button(self.tr("Cancel jobs and quit"), name="btn_quit_anyway")
        self._stay = make_button(self.tr("Don't quit"), "primary", name="btn_dont_quit")
        self.buttons.addButton(self._background, _Role.ActionRole)
        self.buttons.addButton(self._quit, _Role.DestructiveRole)
        self.buttons.addButton(self._stay, _Role.RejectRole)
        self._stay.setDefault(True)
        self._background.clicked.connect(self._on_background)
        self._quit.clicked.connect(self._on_quit)
        self._stay.clicked.connect(self.reject)

    def _on_background(self) -> None:
        self.accept()
        self.background_chosen.emit()

    def _on_quit(self) -> None:
        self.accept()
        self.quit_chosen.emit()
