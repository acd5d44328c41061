"""The lane over the real engine's talk: one process, spawned, kept, ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from deltaworks_gui.lanes.engines import ProcessEngine
from deltaworks_gui.lanes.jobs import ENDED, Job, JobState
from deltaworks_gui.lanes.lane import LaneSpec
from deltaworks_gui.lanes.queue import JobQueue

pytestmark = pytest.mark.engine


@pytest.fixture
def engines() -> list[ProcessEngine]:
    """Every engine that was made."""
    return []


@pytest.fixture
def real_queue(qapp: object, engines: list[ProcessEngine]) -> Iterator[JobQueue]:
    def make() -> ProcessEngine:
        engines.append(ProcessEngine())
        return engines[-1]

    queue = JobQueue([LaneSpec("cpu", "CPU", make)])
    yield queue
    assert queue.shutdown()
    assert not any(engine.is_alive() for engine in engines)


def compress(base: Path, expert: Path, out: Path) -> dict[str, object]:
    return {
        "kind": "compress",
        "base": {"path": str(base)},
        "experts": [{"path": str(expert)}],
        "settings": [{"method": "sign"}],
        "output": str(out),
    }


def over(queue: JobQueue, job: Job) -> bool:
    found = queue.job(job.id)
    return found is not None and found.state in ENDED


def test_a_real_job_runs_in_another_process_and_a_wrong_one_says_why(
    real_queue: JobQueue,
    engines: list[ProcessEngine],
    qtbot: QtBot,
    tiny_base: Path,
    tiny_expert: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "math.delta.safetensors"

    good = real_queue.submit("good", compress(tiny_base, tiny_expert, out))
    bad = real_queue.submit("bad", compress(tiny_base, tmp_path / "nowhere", tmp_path / "no"))
    qtbot.waitUntil(lambda: over(real_queue, good) and over(real_queue, bad), timeout=60_000)

    done, failed = real_queue.job(good.id), real_queue.job(bad.id)
    assert done is not None
    assert failed is not None
    assert done.state in (JobState.SUCCEEDED, JobState.WARNED), done.error
    assert done.report is not None
    assert [Path(made["path"]) for made in done.report["artefacts"]] == [out]
    assert out.is_file()
    assert failed.state is JobState.FAILED
    assert "nowhere: is not there" in failed.error
    assert len(engines) == 1
    assert not list(tmp_path.glob("*.partial-*"))


def test_a_killed_process_fails_its_job_and_the_next_gets_another(
    real_queue: JobQueue,
    engines: list[ProcessEngine],
    qtbot: QtBot,
    tiny_base: Path,
    tiny_expert: Path,
    tmp_path: Path,
) -> None:
    first = real_queue.submit("dies", compress(tiny_base, tiny_expert, tmp_path / "a"))
    second = real_queue.submit("lives", compress(tiny_base, tiny_expert, tmp_path / "b"))
    qtbot.waitUntil(lambda: bool(engines) and engines[0].is_alive(), timeout=20_000)
    pid = engines[0].pid
    assert pid is not None

    os.kill(pid, signal.SIGSEGV)
    qtbot.waitUntil(lambda: over(real_queue, first) and over(real_queue, second), timeout=60_000)

    failed, done = real_queue.job(first.id), real_queue.job(second.id)
    assert failed is not None
    assert done is not None
    assert failed.state is JobState.FAILED
    assert "SIGSEGV" in failed.error
    assert done.state in (JobState.SUCCEEDED, JobState.WARNED), done.error
