"""Turns what happens in the queue into banners and status lines (interface section 10)."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal, Slot

from deltaworks_gui.context import AppContext
from deltaworks_gui.formats import format_seconds
from deltaworks_gui.lanes.jobs import SWEEPS, Job, JobState

WORTH_A_BANNER_S = 30.0
_S = JobState


class JobsNews(QObject):
    """Speaks when jobs end, the queue empties or holds itself, or a job does not stop.

    Signals:
        details_asked: a Job whose error the user wants to read.
    """

    details_asked = Signal(object)

    def __init__(self, context: AppContext, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._queue = context.queue
        self._say = context.navigator
        self._queue.job_ended.connect(self._on_ended)
        self._queue.emptied.connect(self._on_emptied)
        self._queue.held_because.connect(self._on_held)
        self._queue.stuck.connect(self._on_stuck)
        self._say.banner_acted.connect(self._on_acted)

    @Slot(object)
    def _on_ended(self, job: Job) -> None:
        if job.state is _S.FAILED:
            text = f"{job.name}: {job.error}"
            actions = [("details", self.tr("Details")), ("retry", self.tr("Run again"))]
            self._say.banner("bad", text, actions, key=f"job:{job.id}", stays=True)
        elif job.state in (_S.SUCCEEDED, _S.WARNED) and job.recipe.get("kind") not in SWEEPS:
            self._on_success(job)
        elif job.state is _S.CANCELLED:
            self._say.status(self.tr("{0}: cancelled").format(job.name))

    def _on_success(self, job: Job) -> None:
        """A sweep speaks for itself, on the Results page."""
        took = format_seconds(job.running_seconds)
        text = self.tr("{0}: done in {1}").format(job.name, took)
        if job.state is _S.WARNED:
            text = self.tr("{0}, with warnings: {1}").format(text, job.warnings[0])
            self._say.banner("warn", text, key=f"job:{job.id}")
        elif job.running_seconds > WORTH_A_BANNER_S:
            self._say.banner("good", text, key=f"job:{job.id}")
        else:
            self._say.status(text)

    @Slot(object)
    def _on_emptied(self, count: int) -> None:
        if count > 1:
            text = self.tr("The queue is empty: {0} jobs ended").format(count)
            self._say.banner("info", text, key="queue-empty")

    @Slot(object)
    def _on_held(self, why: str) -> None:
        actions = [("release", self.tr("Release queue"))]
        text = self.tr("The queue is held. {0}").format(why)
        self._say.banner("warn", text, actions, key="queue-held", stays=True)

    @Slot(object)
    def _on_stuck(self, job: Job) -> None:
        text = self.tr("“{0}” does not stop").format(job.name)
        actions = [("stop", self.tr("Stop the engine"))]
        self._say.banner("warn", text, actions, key=f"stuck:{job.id}", stays=True)

    @Slot(object, object)
    def _on_acted(self, key: str, action: str) -> None:
        kind, _, job_id = key.partition(":")
        job = self._queue.job(job_id)
        if key == "queue-held" and action == "release":
            self._queue.hold(False)
        elif job is None:
            return
        elif (kind, action) == ("job", "details"):
            self.details_asked.emit(job)
        elif (kind, action) == ("job", "retry"):
            self._queue.retry(job_id)
        elif (kind, action) == ("stuck", "stop"):
            self._queue.stop_engine(job_id)
