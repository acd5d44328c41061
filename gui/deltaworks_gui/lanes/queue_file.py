"""The queue on disk: one small JSON file, replaced as a whole after every move of state.

A thread of its own writes, newest state only, so that no disk can stall the window.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from deltaworks_gui.lanes.jobs import Job, JobState

log = logging.getLogger(__name__)

VERSION = 1
_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class QueueState:
    """All that outlives the window."""

    jobs: tuple[Job, ...] = ()
    is_held: bool = False
    biases: dict[str, float] = field(default_factory=dict)


def job_to_json(job: Job, *, in_full: bool = False) -> dict[str, Any]:
    """A job as plain data; report and details only in its own record."""
    data = asdict(job)
    data["state"] = job.state.value
    if not in_full:
        data["report"] = None
        data["details"] = ""
    return data


def job_from_json(data: dict[str, Any]) -> Job:
    """The job again.

    Raises:
        ValueError: a state this version does not know. KeyError, TypeError: not a job.
    """
    known = {one.name for one in fields(Job)}
    values = {key: value for key, value in data.items() if key in known}
    values["state"] = JobState(values["state"])
    values["warnings"] = tuple(values.get("warnings", ()))
    return Job(**values)


def read_queue(path: Path) -> QueueState:
    """The state that was last written; empty when there is none or it cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["version"] > VERSION:
            raise ValueError(f"version {data['version']}, this program knows {VERSION}")
        jobs = tuple(job_from_json(one) for one in data["jobs"])
        return QueueState(jobs, bool(data.get("held", False)), dict(data.get("biases", {})))
    except FileNotFoundError:
        return QueueState()
    except (OSError, ValueError, KeyError, TypeError) as error:
        kept = path.with_suffix(".unreadable")
        log.warning("%s: %s; kept as %s, the queue starts empty", path, error, kept.name)
        try:
            path.replace(kept)
        except OSError:
            log.warning("%s cannot be renamed", path)
        return QueueState()


class QueueWriter:
    """Writes states and finished jobs' records, in order, on its own thread."""

    def __init__(self, path: Path, records: Path) -> None:
        self._path = path
        self._records = records
        self._lock = threading.Condition()
        self._state: QueueState | None = None
        self._ended: list[Job] = []
        self._closing = False
        self._busy = False
        self._thread = threading.Thread(target=self._work, name="queue-writer", daemon=True)
        self._thread.start()

    def save(self, state: QueueState, ended: Sequence[Job] = ()) -> None:
        """Write this state soon; an older one that still waits is forgotten."""
        with self._lock:
            self._state = state
            self._ended.extend(ended)
            self._lock.notify_all()

    def flush(self, seconds: float = _WAIT_S) -> bool:
        """Wait until everything is on disk."""
        with self._lock:
            return self._lock.wait_for(
                lambda: self._state is None and not self._ended and not self._busy, seconds
            )

    def close(self) -> None:
        """Write what waits, then end the thread."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        self._thread.join(_WAIT_S)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._busy = False
                self._lock.notify_all()
                self._lock.wait_for(lambda: self._closing or self._state or self._ended)
                state, self._state = self._state, None
                ended, self._ended = self._ended, []
                if state is None and not ended:
                    return
                self._busy = True
            try:
                for job in ended:
                    replace_json(self._records / f"{job.id}.json", job_to_json(job, in_full=True))
                if state is not None:
                    replace_json(self._path, _as_json(state))
            except (OSError, TypeError, ValueError) as error:
                log.error("the queue was not saved to %s: %s", self._path, error)


def _as_json(state: QueueState) -> dict[str, Any]:
    return {
        "version": VERSION,
        "held": state.is_held,
        "biases": state.biases,
        "jobs": [job_to_json(job) for job in state.jobs],
    }


def replace_json(path: Path, data: object) -> None:
    """Write beside, flush to the disk, rename: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".partial-{os.getpid()}")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False, allow_nan=True)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
