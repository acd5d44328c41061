"""Puts jobs into the queue, and learns from them how long the next one takes."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal, Slot

from deltaworks.recipes import dump_recipe
from deltaworks_gui.lanes.jobs import ENDED, Job, JobState
from deltaworks_gui.lanes.queue import JobQueue
from deltaworks_gui.pages.workbench_cost import PastSpeed
from deltaworks_gui.pages.workbench_recipe import JobRecipe, free_place, job_name
from deltaworks_gui.pages.workbench_state import WorkbenchState
from deltaworks_gui.settings import Settings


class Submitter(QObject):
    """The Workbench's door to the queue.

    Args:
        queue: where jobs go.
        settings: where past speeds are kept.

    Signals:
        learned: a job ended well; times and free space are others now.
    """

    learned = Signal()

    def __init__(self, queue: JobQueue, settings: Settings, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._queue = queue
        self._past = PastSpeed(settings)
        self._work: dict[str, int] = {}
        queue.job_ended.connect(self._on_ended)

    def submit(self, state: WorkbenchState, recipe: JobRecipe, name: str = "") -> Job:
        """Queue a job; it is frozen now, and aims at a place that is still free.

        Args:
            state: what the job was made from.
            recipe: what to do.
            name: of a job that the state's cost does not speak of; empty for the others.
        """
        data = dump_recipe(free_place(recipe))
        job = self._queue.submit(name or job_name(state), data, state.lane)
        if not name and state.cost is not None and not state.is_planning:
            self._work[job.id] = state.cost.work
        return job

    def seconds(self, work: int, kind: str, lane: str) -> tuple[float, float] | None:
        """Shortest and longest time to expect; None before the first job."""
        return self._past.seconds(work, kind, lane)

    @Slot(object)
    def _on_ended(self, job: Job) -> None:
        work = self._work.pop(job.id, 0) if job.state in ENDED else 0
        if job.state in (JobState.SUCCEEDED, JobState.WARNED):
            kind = str(job.recipe.get("kind", ""))
            self._past.learn(work, job.running_seconds, kind, job.lane)
            self.learned.emit()
