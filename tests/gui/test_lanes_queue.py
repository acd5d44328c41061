"""The queue over a scripted engine: order, states, pause, cancel, failures, restart."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from deltaworks.errors import SpaceError
from deltaworks.progress import Measured, Warned
from deltaworks_gui.lanes.board import REPORTS_KEPT, IllegalMoveError, JobBoard
from deltaworks_gui.lanes.jobs import ENDED, MOVES, Job, JobState
from deltaworks_gui.lanes.news import Ended, Outcome
from deltaworks_gui.lanes.queue import JobQueue

S = JobState


def state_of(queue: JobQueue, job: Job) -> JobState:
    found = queue.job(job.id)
    assert found is not None
    return found.state


def wait_for(qtbot: QtBot, queue: JobQueue, job: Job, *states: JobState) -> Job:
    qtbot.waitUntil(lambda: state_of(queue, job) in states, timeout=8000)
    found = queue.job(job.id)
    assert found is not None
    return found


def test_the_second_job_waits_for_the_first_and_counts_its_own_time(
    queue: JobQueue, qtbot: QtBot, engine: Any, script: Any, record: Any
) -> None:
    engine.scripts = [script(seconds=0.5), script(seconds=0.2)]
    seen = record(queue.job_changed)

    first = queue.submit("one", {"kind": "fake"})
    second = queue.submit("two", {"kind": "fake"})

    assert state_of(queue, second) is S.QUEUED
    wait_for(qtbot, queue, second, S.SUCCEEDED)
    began = next(job for job in seen.got if job.id == second.id and job.state is S.RUNNING)
    assert began.running_seconds < 0.1
    ended = [job.id for job in seen.got if job.state is S.SUCCEEDED]
    assert ended == [first.id, second.id]
    assert engine.engines == 1, "the engine is kept warm"


def test_settings_edited_after_queueing_do_not_change_the_job(
    queue: JobQueue, qtbot: QtBot, engine: Any
) -> None:
    recipe = {"kind": "fake", "settings": [{"method": "sign"}]}
    queue.hold(True)
    job = queue.submit("frozen", recipe)

    recipe["settings"][0]["method"] = "other"  # type: ignore[index]
    queue.hold(False)
    wait_for(qtbot, queue, job, S.SUCCEEDED)

    assert engine.recipes == [{"kind": "fake", "settings": [{"method": "sign"}]}]


def test_progress_never_falls_reaches_the_end_and_comes_ten_times_a_second(
    queue: JobQueue, qtbot: QtBot, engine: Any, script: Any, record: Any
) -> None:
    engine.scripts = [script(steps=2500, seconds=2.5)]
    seen = record(queue.job_changed)

    job = queue.submit("chatty", {"kind": "fake"})
    done = wait_for(qtbot, queue, job, S.SUCCEEDED)

    progress = [one.progress for one in seen.got]
    assert progress == sorted(progress)
    assert done.progress == 1000
    # Moves of state come at once, the last with the newest progress; the rest are the ticks.
    ticks = [
        at
        for before, one, at in zip(seen.got, seen.got[1:], seen.times[1:], strict=False)
        if before.state is one.state
    ][:-1]
    assert len(ticks) >= 5
    assert (len(ticks) - 1) / (ticks[-1] - ticks[0]) <= 10.05


def test_cancel_shows_at_once_and_stops_soon(
    queue: JobQueue, qtbot: QtBot, engine: Any, script: Any, record: Any
) -> None:
    engine.scripts = [script(seconds=30, steps=300)]
    lanes = record(queue.lane_changed)
    job = queue.submit("long", {"kind": "fake"})
    wait_for(qtbot, queue, job, S.RUNNING)

    queue.cancel(job.id)

    assert state_of(queue, job) is S.CANCELLING
    qtbot.waitUntil(lambda: state_of(queue, job) is S.CANCELLED, timeout=2000)
    qtbot.waitUntil(lambda: lanes.got[-1].state == "idle", timeout=1000)


def test_a_queued_job_is_cancelled_without_running(queue: JobQueue, engine: Any) -> None:
    queue.hold(True)
    job = queue.submit("never", {"kind": "fake"})

    queue.cancel(job.id)

    assert state_of(queue, job) is S.CANCELLED
    assert engine.recipes == []


@pytest.mark.parametrize("says_paused", [True, False])
def test_pause_stops_progress_and_time_and_resume_goes_on_from_there(
    queue: JobQueue, qtbot: QtBot, engine: Any, script: Any, says_paused: bool
) -> None:
    engine.scripts = [script(seconds=1.5, steps=60, says_paused=says_paused)]
    job = queue.submit("patient", {"kind": "fake"})
    qtbot.waitUntil(lambda: (queue.job(job.id) or job).progress > 100, timeout=5000)

    queue.pause(job.id)
    assert (queue.job(job.id) or job).stage == "Pausing…"
    rested = wait_for(qtbot, queue, job, S.PAUSED)
    qtbot.wait(600)
    still = queue.job(job.id)
    assert still == rested, "nothing moves while it rests"

    queue.resume(job.id)
    assert state_of(queue, job) is S.RUNNING
    done = wait_for(qtbot, queue, job, S.SUCCEEDED)
    assert done.running_seconds < rested.running_seconds + 3
    lasted = (done.ended_at or 0) - (done.started_at or 0)
    assert done.running_seconds < lasted - 0.5, "the pause does not count"


def test_a_failure_carries_its_cause_and_the_queue_goes_on(
    queue: JobQueue, qtbot: QtBot, engine: Any, script: Any
) -> None:
    cause = SpaceError("needs 14.2 GB, 9.8 GB free", where="store", fix="Free some space.")
    engine.scripts = [script(error=cause, details="Traceback …", ends_at=3), script()]

    first = queue.submit("too big", {"kind": "fake"})
    second = queue.submit("fits", {"kind": "fake"})
    failed = wait_for(qtbot, queue, first, S.FAILED)
    wait_for(qtbot, queue, second, S.SUCCEEDED)

    assert failed.error == "store: needs 14.2 GB, 9.8 GB free. Free some space."
    assert failed.details == "Traceback …"


def test_warnings_and_results_inside_a_job_are_passed_on(
    queue: JobQueue, qtbot: QtBot, engine: Any, script: Any
) -> None:
    events = {
        1: Measured("trial", {"number": 1, "file_bytes": 3_000_000_000}),
        2: Warned("odd", "w"),
    }
    engine.scripts = [script(events=events)]
    heard: list[tuple[object, ...]] = []
    queue.measured.connect(lambda *what: heard.append(what))

    job = queue.submit("sweep", {"kind": "sweep"})
    done = wait_for(qtbot, queue, job, S.WARNED)

    assert heard == [(job.id, "trial", {"number": 1, "file_bytes": 3_000_000_000})]
    assert done.warnings == ("w: odd",)


def test_three_failures_of_one_cause_hold_the_queue(
    queue: JobQueue, qtbot: QtBot, engine: Any, script: Any, record: Any
) -> None:
    engine.scripts = [script(error="no space", ends_at=1)]
    why = record(queue.held_because)

    for number in range(4):
        queue.submit(f"job {number}", {"kind": "fake"})
    qtbot.waitUntil(lambda: queue.is_held, timeout=5000)

    qtbot.waitUntil(lambda: bool(why.got), timeout=1000)
    assert "no space" in why.got[0]
    assert [job.state for job in queue.jobs()].count(S.QUEUED) == 1


def test_an_engine_that_dies_fails_its_job_and_starts_anew(
    queue: JobQueue, qtbot: QtBot, engine: Any, script: Any
) -> None:
    engine.scripts = [script(dies=True, ends_at=5), script()]

    first = queue.submit("unlucky", {"kind": "fake"})
    second = queue.submit("next", {"kind": "fake"})
    failed = wait_for(qtbot, queue, first, S.FAILED)
    wait_for(qtbot, queue, second, S.SUCCEEDED)

    assert "engine stopped" in failed.error
    assert engine.engines == 2


def test_a_job_that_does_not_stop_is_told_and_its_engine_can_be_ended(
    make_queue: Callable[..., JobQueue], qtbot: QtBot, engine: Any, script: Any, record: Any
) -> None:
    now = [100.0]
    queue = make_queue(clock=lambda: now[0])
    engine.scripts = [script(hangs=True, ends_at=4), script()]
    stuck = record(queue.stuck)
    job = queue.submit("deaf", {"kind": "fake"})
    wait_for(qtbot, queue, job, S.RUNNING)

    queue.cancel(job.id)
    queue.cancel(job.id)
    assert stuck.got == []
    now[0] += 11
    queue.cancel(job.id)
    assert [one.id for one in stuck.got] == [job.id]
    queue.stop_engine(job.id)

    wait_for(qtbot, queue, job, S.CANCELLED)
    after = queue.submit("after", {"kind": "fake"})
    wait_for(qtbot, queue, after, S.SUCCEEDED)


def test_retry_runs_the_frozen_recipe_again(queue: JobQueue, qtbot: QtBot, engine: Any) -> None:
    job = queue.submit("once", {"kind": "fake", "seed": 7})
    wait_for(qtbot, queue, job, S.SUCCEEDED)

    again = queue.retry(job.id)
    wait_for(qtbot, queue, again, S.SUCCEEDED)

    assert again.id != job.id
    assert engine.recipes == [{"kind": "fake", "seed": 7}] * 2


def test_retry_goes_on_where_an_engine_died(
    queue: JobQueue, qtbot: QtBot, engine: Any, script: Any
) -> None:
    engine.scripts = [script(dies=True, ends_at=5), script()]
    job = queue.submit("killed", {"kind": "fake"})
    wait_for(qtbot, queue, job, S.FAILED)

    again = queue.retry(job.id)
    wait_for(qtbot, queue, again, S.SUCCEEDED)
    fresh = queue.retry(again.id)
    wait_for(qtbot, queue, fresh, S.SUCCEEDED)

    assert [how["resume"] for how in engine.hows] == [False, True, False]


def test_a_job_knows_the_state_of_its_inputs_when_it_was_queued(
    queue: JobQueue, qtbot: QtBot, engine: Any, tmp_path: Path
) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"before")
    queue.hold(True)
    job = queue.submit("one", {"kind": "fake", "base": {"path": str(model)}})
    qtbot.waitUntil(lambda: bool(queue.job(job.id).inputs))  # type: ignore[union-attr]  # it is there
    facts = model.stat()
    model.write_bytes(b"afterwards")

    queue.hold(False)
    wait_for(qtbot, queue, job, S.SUCCEEDED)

    known = {str(model): [6, facts.st_mtime_ns, facts.st_ino]}
    assert engine.hows[0]["inputs"] == known


def test_queued_jobs_can_be_put_in_another_order(queue: JobQueue) -> None:
    queue.hold(True)
    one, two, three = (queue.submit(name, {}) for name in ("one", "two", "three"))

    queue.move(three.id, -2)
    queue.move(one.id, 1)
    queue.move(two.id, 99)

    assert [job.name for job in queue.jobs()] == ["three", "one", "two"]


def test_every_move_that_is_not_in_the_table_raises(queue: JobQueue) -> None:
    queue.hold(True)
    job = queue.submit("still", {})

    for start in JobState:
        for end in set(JobState) - MOVES[start]:
            with pytest.raises(IllegalMoveError):
                queue._move(replace(job, state=start), end)
    assert state_of(queue, job) is S.QUEUED


def test_the_queue_is_on_disk_after_every_move_and_nothing_starts_by_itself(
    make_queue: Callable[..., JobQueue], qtbot: QtBot, tmp_path: Path, engine: Any, script: Any
) -> None:
    path = tmp_path / "queue.json"
    gate = threading.Event()
    engine.scripts = [script(gate=gate)]
    queue = make_queue(path)
    done = queue.submit("done", {"kind": "fake"})
    gate.set()
    wait_for(qtbot, queue, done, S.SUCCEEDED)
    engine.scripts = [script(seconds=30)]
    running = queue.submit("running", {"kind": "fake", "n": 1})
    waiting = queue.submit("waiting", {"kind": "fake", "n": 2})
    wait_for(qtbot, queue, running, S.RUNNING)
    assert queue.flush()
    saved = {job["name"]: job["state"] for job in json.loads(path.read_text())["jobs"]}
    assert saved == {"done": "Succeeded", "running": "Running", "waiting": "Queued"}
    kept = path.read_bytes()

    # The process dies here: what is on disk is all there is.
    queue.cancel(running.id)
    copy = tmp_path / "after" / "queue.json"
    copy.parent.mkdir()
    copy.write_bytes(kept)
    again = make_queue(copy)

    states = {job.name: job.state for job in again.jobs()}
    assert states == {"done": S.SUCCEEDED, "running": S.INTERRUPTED, "waiting": S.QUEUED}
    assert again.is_held
    engine.scripts = [script()]
    again.retry(running.id)
    again.hold(False)
    wait_for(qtbot, again, running, S.SUCCEEDED)
    wait_for(qtbot, again, waiting, S.SUCCEEDED)
    assert again.flush()
    assert not list(copy.parent.glob("*.partial-*"))


def test_a_damaged_queue_file_is_kept_aside(
    make_queue: Callable[..., JobQueue], tmp_path: Path
) -> None:
    path = tmp_path / "queue.json"
    path.write_text('{"version": 1, "jobs": [{"id"')

    queue = make_queue(path)

    assert queue.jobs() == []
    assert path.with_suffix(".unreadable").read_text().startswith('{"version"')


def test_each_finished_job_has_a_record_with_its_report(
    make_queue: Callable[..., JobQueue], qtbot: QtBot, tmp_path: Path, engine: Any, script: Any
) -> None:
    engine.scripts = [script(report={"artefacts": [{"path": "/x/a.safetensors"}], "warnings": []})]
    queue = make_queue(tmp_path / "queue.json")

    job = queue.submit("kept", {"kind": "fake"})
    done = wait_for(qtbot, queue, job, S.SUCCEEDED)
    assert queue.flush()

    record = json.loads((tmp_path / "jobs" / f"{job.id}.json").read_text())
    assert record["report"]["artefacts"][0]["path"] == "/x/a.safetensors"
    assert done.output == "a.safetensors"


def test_shutting_down_interrupts_what_runs(
    make_queue: Callable[..., JobQueue], qtbot: QtBot, engine: Any, script: Any
) -> None:
    engine.scripts = [script(seconds=60, steps=1000)]
    queue = make_queue()
    job = queue.submit("long", {"kind": "fake"})
    wait_for(qtbot, queue, job, S.RUNNING)

    assert queue.shutdown()

    assert state_of(queue, job) is S.INTERRUPTED


def test_clearing_keeps_what_is_not_over(queue: JobQueue, qtbot: QtBot) -> None:
    job = queue.submit("over", {"kind": "fake"})
    wait_for(qtbot, queue, job, S.SUCCEEDED)
    queue.hold(True)
    waiting = queue.submit("waits", {"kind": "fake"})

    gone = queue.clear_finished()

    assert [one.id for one in gone] == [job.id]
    assert [one.id for one in queue.jobs()] == [waiting.id]


def test_three_gigabytes_pass_every_signal_unharmed(
    queue: JobQueue, qtbot: QtBot, engine: Any, script: Any, record: Any
) -> None:
    engine.memory = 3_000_000_001
    engine.scripts = [script(seconds=0.5, total=9_000_000_000_000)]
    lanes = record(queue.lane_changed)

    job = queue.submit("large", {"kind": "fake"})
    done = wait_for(qtbot, queue, job, S.SUCCEEDED)

    assert done.peak_bytes == 3_000_000_001
    assert max(lane.used_bytes for lane in lanes.got) == 3_000_000_001


def test_emitting_keeps_reference_counts(queue: JobQueue, record: Any) -> None:
    seen = record(queue.hold_changed)
    before = sys.getrefcount(True)

    for _ in range(5000):
        queue.hold_changed.emit(True)
    seen.got.clear()

    assert abs(sys.getrefcount(True) - before) <= 50


@pytest.mark.parametrize("state", [S.PREPARING, S.RUNNING, S.PAUSED, S.CANCELLING])
@pytest.mark.parametrize("outcome", ["finished", "failed", "stopped", "died", "closed"])
def test_every_ending_is_reached_by_legal_moves(
    queue: JobQueue, state: JobState, outcome: Outcome
) -> None:
    queue.hold(True)
    job = queue.submit("any", {"kind": "fake"})
    queue._board.change(job, state=state)

    queue._on_ended(Ended(job.id, outcome, {} if outcome == "finished" else None, "why"))

    end = state_of(queue, job)
    assert end in ENDED or end is S.INTERRUPTED
    if state is S.CANCELLING:
        assert end in (S.CANCELLED, S.INTERRUPTED)


def test_only_the_newest_reports_stay_in_memory() -> None:
    board = JobBoard()
    for number in range(REPORTS_KEPT + 5):
        job = board.add(f"job {number}", {}, "cpu")
        board.move(job, S.PREPARING)
        board.move(board[job.id], S.RUNNING)
        board.move(board[job.id], S.SUCCEEDED, report={"n": number}, ended_at=float(number))

    board.forget_reports()

    kept = [job.report for job in board.listed() if job.report is not None]
    assert kept == [{"n": number} for number in range(REPORTS_KEPT + 4, 4, -1)]


def test_states_that_end_a_job_lead_nowhere() -> None:
    assert {state for state in JobState if not MOVES[state]} == ENDED


def test_an_engine_that_cannot_load_says_why(queue: JobQueue, qtbot: QtBot, engine: Any) -> None:
    def refuse(connection: Any) -> None:
        connection.send(("refused", "ImportError: no torch", "Traceback …"))

    serve, engine.serve = engine.serve, refuse
    first = queue.submit("never", {"kind": "fake"})
    failed = wait_for(qtbot, queue, first, S.FAILED)
    engine.serve = serve
    second = queue.submit("later", {"kind": "fake"})

    assert failed.error == "The compute engine did not start: ImportError: no torch."
    assert failed.details == "Traceback …"
    wait_for(qtbot, queue, second, S.SUCCEEDED)
