"""Which state a job ends in, by what happened and by where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deltaworks_gui.lanes.jobs import FULL, Job, JobState
from deltaworks_gui.lanes.news import Ended

_S = JobState


def way_out(job: Job, news: Ended) -> tuple[JobState, ...]:
    """The moves that bring the job from where it is to its end, one after another.

    A job may end in the moment it is paused, or before its first word; it passes
    through Running then. What was done before it could stop stays cancelled.
    """
    died = news.outcome == "died"
    if news.outcome == "closed" or (died and job.state in (_S.PAUSED, _S.CANCELLING)):
        return (_S.INTERRUPTED,)
    if job.state is _S.CANCELLING:
        return (_S.CANCELLED,)
    if news.outcome == "stopped":
        return (_S.CANCELLING, _S.CANCELLED)
    if news.outcome == "finished":
        end = _S.WARNED if _warnings(job, news) else _S.SUCCEEDED
        return (end,) if job.state is _S.RUNNING else (_S.RUNNING, end)
    return (_S.RUNNING, _S.FAILED) if job.state is _S.PAUSED else (_S.FAILED,)


def changes_at_end(job: Job, news: Ended) -> dict[str, Any]:
    """What the job's last snapshot holds that the one before did not."""
    changes: dict[str, Any] = {
        "peak_bytes": max(job.peak_bytes, news.peak_bytes),
        "error": news.error,
        "details": news.details,
        "warnings": _warnings(job, news),
        "remaining_seconds": None,
        "is_counting": False,
        "was_cut_off": news.outcome in ("died", "closed"),
    }
    if news.report is not None:
        changes["report"] = news.report
        changes["output"] = output_name(news.report)
    if news.outcome == "finished" and job.state is not _S.CANCELLING:
        changes |= {"progress": FULL, "stage": ""}
    return changes


def output_name(report: dict[str, Any]) -> str:
    """What a report says was made: one name, or the first and how many more."""
    made = report.get("artefacts", ())
    names = [str(one.get("name") or Path(one["path"]).name) for one in made]
    return names[0] if len(names) == 1 else f"{names[0]} + {len(names) - 1}" if names else ""


class SameCause:
    """Notices when jobs fail one after another for one reason."""

    def __init__(self, times: int = 3) -> None:
        self._times = times
        self._causes: list[str] = []

    def clear(self) -> None:
        """Begin anew."""
        self._causes.clear()

    def note(self, job: Job) -> bool:
        """Take in a job that ended; True when it is the third of its kind in a row."""
        if job.state is not _S.FAILED or (self._causes and self._causes[-1] != job.error):
            self._causes.clear()
        if job.state is _S.FAILED:
            self._causes.append(job.error)
        return len(self._causes) >= self._times


def _warnings(job: Job, news: Ended) -> tuple[str, ...]:
    told = () if news.report is None else news.report.get("warnings", ())
    return tuple(dict.fromkeys((*job.warnings, *(str(text) for text in told))))
