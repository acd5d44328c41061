"""The queue: every job's state and order, in the window's thread, fed by the lanes."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from deltaworks.progress import Measured
from deltaworks_gui.lanes.advancing import changes_now
from deltaworks_gui.lanes.board import AT_WORK, FRESH, JobBoard, is_over, kind_of
from deltaworks_gui.lanes.endings import SameCause, changes_at_end, way_out
from deltaworks_gui.lanes.freezing import Freezer
from deltaworks_gui.lanes.jobs import ENDED, Job, JobState, Lane
from deltaworks_gui.lanes.lane import LaneSpec, LaneThread
from deltaworks_gui.lanes.news import Advanced, Ended, LaneNews, Rested, RunOrder, Told
from deltaworks_gui.lanes.queue_file import QueueState, QueueWriter, read_queue
from deltaworks_gui.lanes.remaining import PastJobs, RemainingTime, RunningClock

log = logging.getLogger(__name__)

TICK_MS = 100
STUCK_AFTER_S = 10.0
_WAIT_S = 3.0

_SUCCESS = frozenset({JobState.SUCCEEDED, JobState.WARNED})


class JobQueue(QObject):
    """One job at a time a lane, in order; every job an immutable snapshot.

    Args:
        lanes: the devices, each with the way to make its engine.
        path: where the queue is kept; None keeps nothing.
        clock: seconds that only go forward.

    Signals:
        job_added: a Job.  job_changed: a Job, at most ten times a second each.
        job_ended: a Job that will not change any more, or was interrupted.
        job_removed: the id of one that left the list.
        order_changed: queued jobs stand in another order.
        measured: (job id, subject, values) of a result inside a running job.
        lane_changed: a Lane.  hold_changed: bool.
        held_because: why the queue held itself, a sentence.
        stuck: a Job that does not stop; offer ``stop_engine``.
        emptied: number of jobs that ended since the queue was last empty.
        idle: nothing runs any more.
    """

    job_added = Signal(object)
    job_changed = Signal(object)
    job_ended = Signal(object)
    job_removed = Signal(object)
    order_changed = Signal()
    measured = Signal(object, object, object)
    lane_changed = Signal(object)
    hold_changed = Signal(object)
    held_because = Signal(object)
    stuck = Signal(object)
    emptied = Signal(object)
    idle = Signal()

    def __init__(
        self,
        lanes: Sequence[LaneSpec],
        path: Path | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._clock = clock
        self._board = JobBoard()
        self._clocks: dict[str, RunningClock] = {}
        self._news: dict[str, Advanced] = {}
        self._cancelled_at: dict[str, float] = {}
        self._pausing: set[str] = set()
        self._causes = SameCause()
        self._ended_since_empty = 0
        self._is_held = False
        self._closing = False
        self._past = PastJobs()
        self._writer: QueueWriter | None = None
        if path is not None:
            self._restore(read_queue(path))
            self._writer = QueueWriter(path, path.parent / "jobs")
        self._logs = None if path is None else path.parent / "logs"
        self._devices = {spec.id: spec.device for spec in lanes}
        self._freezer = Freezer(self)
        self._freezer.frozen.connect(self._on_frozen, Qt.ConnectionType.QueuedConnection)
        self._lanes = {
            spec.id: Lane(spec.id, spec.title, total_bytes=spec.total_bytes) for spec in lanes
        }
        self._threads = {spec.id: self._lane_thread(spec) for spec in lanes}
        self._running_on: dict[str, str | None] = dict.fromkeys(self._lanes)
        self._tick = QTimer(self)
        # Never sooner: a repeating timer catches up when it is late, a coarse one comes 5 % early.
        self._tick.setTimerType(Qt.TimerType.PreciseTimer)
        self._tick.setSingleShot(True)
        self._tick.setInterval(TICK_MS)
        self._tick.timeout.connect(self._on_tick)

    def _lane_thread(self, spec: LaneSpec) -> LaneThread:
        thread = LaneThread(spec, self)
        queued = Qt.ConnectionType.QueuedConnection
        thread.worker.advanced.connect(self._on_advanced, queued)
        thread.worker.told.connect(self._on_told, queued)
        thread.worker.rested.connect(self._on_rested, queued)
        thread.worker.ended.connect(self._on_ended, queued)
        thread.worker.lane_news.connect(self._on_lane_news, queued)
        return thread

    # --- what there is ----------------------------------------------------------------------

    def jobs(self) -> list[Job]:
        """Running first, then queue order, then finished ones, newest first."""
        return self._board.listed()

    def job(self, job_id: str) -> Job | None:
        """One job by id."""
        return self._board.get(job_id)

    def lanes(self) -> list[Lane]:
        """Every lane as it is now."""
        return list(self._lanes.values())

    @property
    def is_held(self) -> bool:
        """Whether queued jobs wait for the user."""
        return self._is_held

    @property
    def busy(self) -> list[Job]:
        """Jobs that a lane works on."""
        return self._board.busy

    # --- what the user can do -----------------------------------------------------------------

    def submit(self, name: str, recipe: dict[str, Any], lane: str = "cpu") -> Job:
        """Put a job at the end of its lane's queue; the recipe is frozen now.

        Raises:
            KeyError: there is no such lane.
        """
        if lane not in self._lanes:
            raise KeyError(f"no lane {lane!r}; there are {', '.join(self._lanes)}")
        return self._submit(name, recipe, lane)

    def _submit(self, name: str, recipe: dict[str, Any], lane: str, **more: Any) -> Job:
        job = self._board.change(self._board.add(name, recipe, lane), **more)
        self._freezer.freeze(job.id, job.recipe)
        self.job_added.emit(job)
        self._save()
        self._dispatch()
        return self._board[job.id]

    def cancel(self, job_id: str) -> None:
        """Stop a job; a second time after 10 s offers to stop the engine."""
        job = self._board[job_id]
        if job.state is JobState.QUEUED:
            self._finish(job, JobState.CANCELLED)
        elif job.state is JobState.CANCELLING:
            if self._clock() - self._cancelled_at.get(job_id, 0.0) >= STUCK_AFTER_S:
                self.stuck.emit(job)
        elif job.state in AT_WORK:
            self._halt_clock(job_id)
            self._cancelled_at[job_id] = self._clock()
            self._pausing.discard(job_id)
            self._move(job, JobState.CANCELLING, remaining_seconds=None)
            self._threads[job.lane].order("cancel", job_id)

    def cancel_all(self) -> None:
        """Stop every job that runs."""
        for job in self.busy:
            self.cancel(job.id)

    def pause(self, job_id: str) -> None:
        """Stop at the next tensor; the job says ``Pausing…`` until then."""
        job = self._board[job_id]
        if job.state is JobState.RUNNING and job_id not in self._pausing:
            self._pausing.add(job_id)
            self._change(job, stage=self.tr("Pausing…"))
            self._threads[job.lane].order("pause", job_id)

    def resume(self, job_id: str) -> None:
        """Go on where it stopped."""
        job = self._board[job_id]
        if job.state is JobState.PAUSED:
            self._clocks[job_id].go(self._clock())
            self._move(job, JobState.RUNNING)
        elif job_id not in self._pausing:
            return
        self._pausing.discard(job_id)
        self._threads[job.lane].order("resume", job_id)

    def retry(self, job_id: str) -> Job:
        """Run a job again with its frozen recipe: a new job, but for interrupted ones.

        One whose engine ended under it goes on from what it has left on disk.
        """
        job = self._board[job_id]
        if job.state is not JobState.INTERRUPTED:
            return self._submit(job.name, job.recipe, job.lane, was_cut_off=job.was_cut_off)
        again = self._move(job, JobState.QUEUED, **FRESH)
        self._dispatch()
        return again

    def move(self, job_id: str, by: int) -> None:
        """Move a queued job up (negative) or down among those that wait."""
        if self._board.shift(job_id, by):
            self.order_changed.emit()
            self._save()

    def hold(self, held: bool) -> None:
        """Let queued jobs wait, or go on."""
        if held == self._is_held:
            return
        self._is_held = held
        self._causes.clear()
        self.hold_changed.emit(held)
        self._save()
        self._dispatch()

    def stop_engine(self, job_id: str) -> None:
        """End the engine under a job that does not stop."""
        job = self._board[job_id]
        if job.state is JobState.CANCELLING:
            self._threads[job.lane].order("kill", job_id)

    def remove(self, job_ids: Iterable[str]) -> None:
        """Take jobs that are over, or interrupted, off the list."""
        for job_id in list(job_ids):
            if self._board.remove(job_id):
                self.job_removed.emit(job_id)
        self._save()

    def clear_finished(self) -> list[Job]:
        """Take every finished job off the list; return them for an undo."""
        gone = [job for job in self._board.over if job.state in ENDED]
        self.remove(job.id for job in gone)
        return gone

    def shutdown(self) -> bool:
        """End engines and threads and write the queue; False when a thread did not end."""
        self._closing = True
        self._tick.stop()
        for thread in self._threads.values():
            thread.close()
        ended = [thread.wait(_WAIT_S) for thread in self._threads.values()]
        for job in self.busy:
            self._finish(job, JobState.INTERRUPTED, was_cut_off=True)
        self._freezer.close()
        if self._writer is not None:
            self._writer.close()
        return all(ended)

    def flush(self) -> bool:
        """Wait until the queue is on disk."""
        return self._writer is None or self._writer.flush()

    # --- moves ------------------------------------------------------------------------------

    def _change(self, job: Job, **changes: Any) -> Job:
        changed = self._board.change(job, **changes)
        self.job_changed.emit(changed)
        return changed

    def _move(self, job: Job, state: JobState, **changes: Any) -> Job:
        moved = self._board.move(job, state, **changes)
        self.job_changed.emit(moved)
        self._save([moved] if is_over(moved) else [])
        return moved

    def _finish(self, job: Job, state: JobState, **changes: Any) -> None:
        clock = self._clocks.pop(job.id, None)
        if clock is not None:
            changes["running_seconds"] = clock.seconds(self._clock())
        self._news.pop(job.id, None)
        self._cancelled_at.pop(job.id, None)
        self._pausing.discard(job.id)
        if state in _SUCCESS and clock is not None and clock.remaining.first_total:
            estimated, real = clock.remaining.first_total, changes["running_seconds"]
            self._past.learn(kind_of(job), job.lane, estimated, real)
        moved = self._move(job, state, ended_at=time.time(), **changes)
        self._ended_since_empty += 1
        self.job_ended.emit(moved)
        if self._causes.note(moved):
            self.hold(True)
            why = self.tr("Three jobs in a row ended the same way: {0}")
            self.held_because.emit(why.format(moved.error))
        self._board.forget_reports()
        self.remove(job.id for job in self._board.too_old())

    def _dispatch(self) -> None:
        if not (self._is_held or self._closing):
            for lane_id, running in self._running_on.items():
                if running is None:
                    self._start_next(lane_id)
        if any(self._running_on.values()):
            if not self._tick.isActive():
                self._tick.start()
        elif self._tick.isActive():
            self._tick.stop()

    def _start_next(self, lane_id: str) -> None:
        job = next((one for one in self._board.waiting if one.lane == lane_id), None)
        if job is not None:
            self._running_on[lane_id] = job.id
            self._move(job, JobState.PREPARING)
            recipe = copy.deepcopy(job.recipe)
            if self._devices[lane_id] and "device" in recipe:
                recipe["device"] = self._devices[lane_id]
            how = {"resume": job.was_cut_off, "inputs": dict(job.inputs)}
            if self._logs is not None:
                how["log"] = str(self._logs / f"job-{job.id}.log")
            self._threads[lane_id].run(RunOrder(job.id, recipe, how))

    def _restore(self, state: QueueState) -> None:
        self._past = PastJobs(state.biases)
        self._board.restore(state.jobs)
        # Nothing starts by itself after a restart.
        self._is_held = state.is_held or bool(self._board.waiting)

    def _save(self, ended: Sequence[Job] = ()) -> None:
        if self._writer is not None:
            jobs = tuple(self._board.listed())  # the queue's order comes back with it
            self._writer.save(QueueState(jobs, self._is_held, self._past.as_json()), ended)

    # --- news from the lanes --------------------------------------------------------------------

    def _began(self, job: Job) -> Job:
        """The first word of a job: it runs now, and its time counts."""
        if job.state is not JobState.PREPARING:
            return job
        clock = RunningClock(RemainingTime(self._past.bias(kind_of(job), job.lane)))
        clock.go(self._clock())
        self._clocks[job.id] = clock
        return self._move(job, JobState.RUNNING, started_at=time.time())

    @Slot(object, object)
    def _on_frozen(self, job_id: str, states: dict[str, list[int]]) -> None:
        job = self._board.get(job_id)
        if job is not None and job.state is JobState.QUEUED:
            self._board.change(job, inputs=states)
            self._save()

    @Slot(object)
    def _on_advanced(self, news: Advanced) -> None:
        if (job := self._board.get(news.job_id)) is not None:
            self._began(job)
            self._news[news.job_id] = news

    @Slot(object)
    def _on_told(self, news: Told) -> None:
        found = self._board.get(news.job_id)
        if found is None:
            return
        job, event = self._began(found), news.event
        if isinstance(event, Measured):
            self.measured.emit(job.id, event.subject, dict(event.values))
        else:
            text = f"{event.where}: {event.text}" if event.where else event.text
            self._change(job, warnings=(*job.warnings, text))

    @Slot(object)
    def _on_rested(self, news: Rested) -> None:
        if news.job_id in self._pausing:
            self._apply(news.job_id)
            self._halt_clock(news.job_id)
            self._move(self._board[news.job_id], JobState.PAUSED, stage="")

    @Slot(object)
    def _on_lane_news(self, news: LaneNews) -> None:
        lane = replace(self._lanes[news.lane_id], state=news.state, used_bytes=news.used_bytes)
        self._lanes[news.lane_id] = lane
        self.lane_changed.emit(lane)

    @Slot(object)
    def _on_ended(self, news: Ended) -> None:
        job = self._board.get(news.job_id)
        if job is None or job.state not in AT_WORK:
            return
        self._apply(job.id)
        self._running_on[job.lane] = None
        job = self._board[job.id]
        *ways, end = way_out(job, news)
        for state in ways:
            first = state is JobState.RUNNING and job.state is JobState.PREPARING
            job = self._began(job) if first else self._move(job, state)
        self._finish(job, end, **changes_at_end(job, news))
        self._dispatch()
        if not self.busy:
            self.idle.emit()
            if not self._board.waiting:
                count, self._ended_since_empty = self._ended_since_empty, 0
                self.emptied.emit(count)

    def _halt_clock(self, job_id: str) -> None:
        if job_id in self._clocks:
            self._clocks[job_id].halt(self._clock())

    @Slot()
    def _on_tick(self) -> None:
        now = self._clock()
        for job in self.busy:
            if job.state is JobState.RUNNING:
                clock = self._clocks[job.id]
                if job.id in self._news or clock.seconds(now) - clock.shown >= 1.0:
                    self._apply(job.id)
        self._tick.start()

    def _apply(self, job_id: str) -> None:
        """Make the newest progress visible; it never goes back."""
        job = self._board[job_id]
        clock = self._clocks.get(job_id)
        if clock is None or job.state is not JobState.RUNNING:
            return
        news = self._news.pop(job_id, None)
        pausing = job_id in self._pausing
        self._change(job, **changes_now(job, clock, news, self._clock(), is_pausing=pausing))
