"""Shown at start when the last session ended in the middle of work."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDialogButtonBox, QWidget

from deltaworks_gui.dialogs.base import Dialog
from deltaworks_gui.formats import format_moment
from deltaworks_gui.lanes.jobs import FULL, Job
from deltaworks_gui.widgets.buttons import danger_button, make_button
from deltaworks_gui.widgets.fact_list import FactList

_Role = QDialogButtonBox.ButtonRole


class RecoverDialog(Dialog):
    """Lists jobs that were cut off, and offers to go on with them.

    Signals:
        resume_chosen, discard_chosen: the buttons; ``Leave in queue`` does nothing.
    """

    resume_chosen = Signal()
    discard_chosen = Signal()

    def __init__(self, jobs: Sequence[Job], parent: QWidget | None = None) -> None:
        super().__init__("DlgRecover", self.tr("Last session ended early"), parent)
        self.sentence(
            self.tr(
                "These jobs were cut off. What they had finished is kept: they go on from there, "
                "and the result has the same bytes as if nothing had happened."
            )
        )
        facts = FactList(accessible_name=self.tr("Jobs that were cut off"))
        for job in jobs:
            done = self.tr("{0} % · started {1}").format(
                job.progress * 100 // FULL, format_moment(job.started_at or job.queued_at)
            )
            facts.set_fact(job.id, job.name, done)
        self.body.addWidget(facts)
        self.body.addStretch(1)
        discard = danger_button(self.tr("Discard"), name="btn_discard")
        leave = make_button(self.tr("Leave in queue"), name="btn_leave")
        resume = make_button(self.tr("Resume"), "primary", name="btn_resume")
        self.buttons.addButton(discard, _Role.DestructiveRole)
        self.buttons.addButton(leave, _Role.RejectRole)
        self.buttons.addButton(resume, _Role.AcceptRole)
        resume.setDefault(True)
        discard.clicked.connect(self._on_discard)
        leave.clicked.connect(self.reject)
        resume.clicked.connect(self._on_resume)

    def _on_discard(self) -> None:
        self.accept()
        self.discard_chosen.emit()

    def _on_resume(self) -> None:
        self.accept()
        self.resume_chosen.emit()
