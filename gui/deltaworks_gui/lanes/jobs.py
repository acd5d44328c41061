"""A job as the window sees it: immutable snapshots, replaced as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class JobState(StrEnum):
    """States and their words (interface section 8)."""

    QUEUED = "Queued"
    PREPARING = "Preparing"
    RUNNING = "Running"
    PAUSED = "Paused"
    CANCELLING = "Cancelling"
    CANCELLED = "Cancelled"
    SUCCEEDED = "Succeeded"
    WARNED = "Succeeded with warnings"
    FAILED = "Failed"
    INTERRUPTED = "Interrupted"


MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.PREPARING, JobState.CANCELLING, JobState.CANCELLED}),
    JobState.PREPARING: frozenset(
        {JobState.RUNNING, JobState.CANCELLING, JobState.FAILED, JobState.INTERRUPTED}
    ),
    JobState.RUNNING: frozenset(
        {
            JobState.PAUSED,
            JobState.CANCELLING,
            JobState.SUCCEEDED,
            JobState.WARNED,
            JobState.FAILED,
            JobState.INTERRUPTED,
        }
    ),
    JobState.PAUSED: frozenset({JobState.RUNNING, JobState.CANCELLING, JobState.INTERRUPTED}),
    JobState.CANCELLING: frozenset({JobState.CANCELLED, JobState.INTERRUPTED}),
    JobState.INTERRUPTED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset(),
    JobState.SUCCEEDED: frozenset(),
    JobState.WARNED: frozenset(),
    JobState.FAILED: frozenset(),
}
"""Every allowed move. Anything else is a bug and raises."""

SWEEPS = frozenset({"sweep", "repair-sweep", "compare-merges"})
"""Kinds of recipe whose jobs speak through the Results page."""

FULL = 1000
"""Progress of a job that is done."""

ENDED = frozenset(state for state, moves in MOVES.items() if not moves)


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Every change makes a new one.

    Args:
        id: unique, sortable by time of queueing.
        name: for people: ``Compress 2 experts``.
        recipe: frozen when it was queued, as plain JSON data.
        lane: id of its lane, ``cpu`` or ``gpu0``.
        progress: 0 to 1000.
        is_counting: the end is not known; ``stage`` holds a count.
        stage: what happens now.
        queued_at: seconds since the epoch; ``started_at``, ``ended_at`` likewise.
        running_seconds: time really run, without waiting and pauses.
        remaining_seconds: None until known.
        peak_bytes: largest resident memory of the engine so far.
        error: where, what and what to do, when it failed.
        details: traceback, folded away in the window.
        warnings: of the run.
        report: plain JSON data, once it succeeded.
        output: what it made, for the table.
        inputs: states of its input files when it was queued; empty before they are known.
        was_cut_off: its engine ended under it, so that it may go on from what lies on disk.
    """

    id: str
    name: str
    recipe: dict[str, Any]
    lane: str
    state: JobState = JobState.QUEUED
    progress: int = 0
    is_counting: bool = False
    stage: str = ""
    queued_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    running_seconds: float = 0.0
    remaining_seconds: float | None = None
    peak_bytes: int = 0
    error: str = ""
    details: str = ""
    warnings: tuple[str, ...] = ()
    report: dict[str, Any] | None = field(default=None, repr=False)
    output: str = ""
    inputs: dict[str, list[int]] = field(default_factory=dict, repr=False)
    was_cut_off: bool = False


@dataclass(frozen=True, slots=True)
class Lane:
    """One device's state, for its chip.

    Args:
        id: ``cpu``, ``gpu0``.
        title: ``CPU``, ``GPU 0``.
        state: ``idle``, ``starting``, ``running``, ``paused``.
        used_bytes: memory of the engine; ``total_bytes`` of the device.
    """

    id: str
    title: str
    state: str = "idle"
    used_bytes: int = 0
    total_bytes: int = 0
