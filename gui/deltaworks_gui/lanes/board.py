"""Every job and the order of those that wait: plain data under the queue."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from deltaworks_gui.lanes.jobs import ENDED, MOVES, Job, JobState

KEPT = 200
"""Finished jobs that stay on the list."""

REPORTS_KEPT = 20
"""Reports that stay in memory."""

AT_WORK = frozenset({JobState.PREPARING, JobState.RUNNING, JobState.PAUSED, JobState.CANCELLING})


FRESH: dict[str, Any] = {
    "progress": 0,
    "is_counting": False,
    "stage": "",
    "started_at": None,
    "ended_at": None,
    "running_seconds": 0.0,
    "remaining_seconds": None,
    "peak_bytes": 0,
    "error": "",
    "details": "",
    "warnings": (),
    "report": None,
    "output": "",
}
"""What a job that starts over forgets."""


class IllegalMoveError(Exception):
    """A job was to move where no job may; a bug of ours."""


class JobBoard:
    """Holds snapshots and lets them move only as ``MOVES`` says."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._order: list[str] = []
        self._number = itertools.count(1)

    def __getitem__(self, job_id: str) -> Job:
        """A job by id."""
        return self._jobs[job_id]

    def get(self, job_id: str) -> Job | None:
        """A job by id; None when it is not on the list."""
        return self._jobs.get(job_id)

    @property
    def waiting(self) -> list[Job]:
        """Queued jobs in order."""
        return [self._jobs[job_id] for job_id in self._order]

    @property
    def busy(self) -> list[Job]:
        """Jobs that a lane works on."""
        return [job for job in self._jobs.values() if job.state in AT_WORK]

    @property
    def over(self) -> list[Job]:
        """Finished and interrupted jobs, newest first."""
        found = [job for job in self._jobs.values() if is_over(job)]
        return sorted(found, key=lambda job: (job.ended_at or 0.0, job.id), reverse=True)

    def listed(self) -> list[Job]:
        """Running first, then queue order, then finished ones, newest first."""
        return self.busy + self.waiting + self.over

    def too_old(self) -> list[Job]:
        """Finished jobs beyond those that are kept."""
        return [job for job in self.over if job.state in ENDED][KEPT:]

    def forget_reports(self) -> None:
        """Let go of all but the newest reports; each is in its job's record on disk."""
        for job in self.over[REPORTS_KEPT:]:
            if job.report is not None:
                self.change(job, report=None)

    def add(self, name: str, recipe: dict[str, Any], lane: str) -> Job:
        """Put a new job at the end; its recipe is a copy."""
        moment = time.strftime("%Y%m%d-%H%M%S")
        ids = (f"{moment}-{number:03d}" for number in self._number)
        job_id = next(one for one in ids if one not in self._jobs)
        job = Job(job_id, name, copy.deepcopy(recipe), lane, queued_at=time.time())
        self._jobs[job_id] = job
        self._order.append(job_id)
        return job

    def change(self, job: Job, **changes: Any) -> Job:
        """Replace a job's snapshot."""
        changed = self._jobs[job.id] = replace(job, **changes)
        return changed

    def move(self, job: Job, state: JobState, **changes: Any) -> Job:
        """Bring a job into another state.

        Raises:
            IllegalMoveError: ``MOVES`` does not have this move.
        """
        if state not in MOVES[job.state]:
            raise IllegalMoveError(f"{job.id}: {job.state} cannot become {state}")
        if job.id in self._order:
            self._order.remove(job.id)
        if state is JobState.QUEUED:
            self._order.append(job.id)
        return self.change(job, state=state, **changes)

    def shift(self, job_id: str, by: int) -> bool:
        """Move a waiting job up (negative) or down; False when it stays where it is."""
        if job_id not in self._order:
            return False
        place = self._order.index(job_id)
        target = min(max(place + by, 0), len(self._order) - 1)
        self._order.insert(target, self._order.pop(place))
        return target != place

    def remove(self, job_id: str) -> bool:
        """Take a job that is over off the list; False when it is not there or not over."""
        job = self._jobs.get(job_id)
        if job is None or not is_over(job):
            return False
        del self._jobs[job_id]
        return True

    def restore(self, jobs: Iterable[Job]) -> None:
        """Take in what was on disk; what was at work then is interrupted now."""
        for job in jobs:
            if job.state in AT_WORK:
                job = replace(
                    job, state=JobState.INTERRUPTED, remaining_seconds=None, was_cut_off=True
                )
            self._jobs[job.id] = job
            if job.state is JobState.QUEUED:
                self._order.append(job.id)


def is_over(job: Job) -> bool:
    """Whether no lane will touch it unless the user says so."""
    return job.state in ENDED or job.state is JobState.INTERRUPTED


def kind_of(job: Job) -> str:
    """The kind of its recipe."""
    return str(job.recipe.get("kind", ""))
