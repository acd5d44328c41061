"""What a running job's next snapshot holds."""

from __future__ import annotations

from typing import Any

from deltaworks_gui.lanes.jobs import FULL, Job
from deltaworks_gui.lanes.news import Advanced
from deltaworks_gui.lanes.remaining import RunningClock


def changes_now(
    job: Job, clock: RunningClock, news: Advanced | None, now: float, *, is_pausing: bool
) -> dict[str, Any]:
    """Time, and the newest progress where there is one; progress never goes back.

    Args:
        job: as it was last shown.
        clock: its time.
        news: what the lane said since; None when nothing.
        now: the queue's clock, seconds.
        is_pausing: its stage says so and is left alone.
    """
    clock.shown = clock.seconds(now)
    changes: dict[str, Any] = {"running_seconds": clock.shown}
    if news is None:
        return changes
    progress = max(job.progress, min(news.progress or 0, FULL - 1))
    left = clock.remaining.update(clock.shown, progress / FULL)
    changes |= {
        "progress": progress,
        "is_counting": news.progress is None,
        "peak_bytes": max(job.peak_bytes, news.used_bytes),
        "remaining_seconds": left if left is not None else job.remaining_seconds,
    }
    return changes if is_pausing else changes | {"stage": news.stage}
