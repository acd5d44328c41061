"""What travels between the window's thread and a lane's: immutable snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from deltaworks.progress import Measured, Warned

Outcome = Literal["finished", "failed", "stopped", "died", "closed"]


@dataclass(frozen=True, slots=True)
class RunOrder:
    """Run this job next.

    Args:
        how: what the engine is told beside the recipe, as ``deltaworks.studies.serve`` says.
    """

    job_id: str
    recipe: dict[str, Any]
    how: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Advanced:
    """The newest progress of a job; older ones were dropped on the way.

    Args:
        progress: thousandths done; None while the end is not known.
        stage: what happens now, for people.
        used_bytes: resident memory of the engine; 0 before it was measured.
    """

    job_id: str
    progress: int | None
    stage: str
    used_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """A result or a warning inside a running job. None of these is dropped."""

    job_id: str
    event: Measured | Warned


@dataclass(frozen=True, slots=True)
class Rested:
    """The job has stopped at a pause."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The job is over, one way or another. Always the last news of a job.

    Args:
        outcome: ``died`` when the engine went down under it, ``closed`` when the lane shut.
        report: plain JSON data when it finished.
        error: one sentence when it failed or died.
        details: traceback.
    """

    job_id: str
    outcome: Outcome
    report: dict[str, Any] | None = None
    error: str = ""
    details: str = ""
    peak_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LaneNews:
    """A lane's state word and its engine's memory."""

    lane_id: str
    state: str
    used_bytes: int = 0
