"""One device's lane: a thread whose worker drives one engine, kept warm between jobs.

The window's thread talks to the worker by one queued signal a job and, while a
job runs, through a queue of short orders; the worker answers by signals only.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import Any, Literal

from PySide6.QtCore import QObject, Qt, QThread, Signal, Slot

from deltaworks.progress import Finished, Measured, Progress, Warned
from deltaworks_gui.lanes.engines import Engine
from deltaworks_gui.lanes.jobs import FULL
from deltaworks_gui.lanes.news import (
    Advanced,
    Ended,
    LaneNews,
    Outcome,
    Rested,
    RunOrder,
    Told,
)

log = logging.getLogger(__name__)

Order = Literal["cancel", "pause", "resume", "kill", "close"]

REPORT_EVERY_S = 0.1
POLL_S = 0.05
MEMORY_EVERY_S = 1.0
QUIET_MEANS_PAUSED_S = 0.5
END_S = 1.0


@dataclass
class _Run:
    """What the worker knows of the job it drives."""

    job_id: str
    progress: int | None = 0
    stage: str = ""
    has_news: bool = False
    said_at: float = 0.0
    heard_at: float = 0.0
    measured_at: float = 0.0
    used_bytes: int = 0
    peak_bytes: int = 0
    pause_asked_at: float | None = None
    killed: bool = False
    report: dict[str, Any] | None = None
    outcome: Outcome | None = None
    error: str = ""
    details: str = ""


class LaneWorker(QObject):
    """Lives in the lane's thread; owns the engine.

    Signals:
        advanced: newest Advanced, at most ten a second.
        told: a Told.  rested: a Rested.  ended: an Ended, always last.
        lane_news: a LaneNews.
    """

    advanced = Signal(object)
    told = Signal(object)
    rested = Signal(object)
    ended = Signal(object)
    lane_news = Signal(object)

    def __init__(
        self,
        lane_id: str,
        make_engine: Callable[[], Engine],
        orders: SimpleQueue[tuple[Order, str]],
    ) -> None:
        super().__init__()
        self._lane_id = lane_id
        self._make_engine = make_engine
        self._orders = orders
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._closing = False

    @Slot(object)
    def run(self, order: RunOrder) -> None:
        """Drive one job to its end."""
        run = _Run(order.job_id, heard_at=time.monotonic())
        try:
            if self._closing:
                run.outcome = "closed"
            else:
                self._drive(run, order)
        except (EOFError, OSError):
            self._bury(run)
        except Exception as bug:
            log.exception("the lane %s lost its job %s", self._lane_id, run.job_id)
            run.outcome, run.error = "failed", f"Internal error: {bug}. See the log."
            self._drop_engine()
        if run.has_news:
            self._say_progress(run)
        assert run.outcome is not None
        self.ended.emit(
            Ended(run.job_id, run.outcome, run.report, run.error, run.details, run.peak_bytes)
        )
        self.lane_news.emit(
            LaneNews(self._lane_id, "idle", 0 if self._engine is None else run.used_bytes)
        )

    @Slot()
    def close(self) -> None:
        """End the engine and this thread."""
        self._closing = True
        if self._engine is not None:
            self._engine.end(END_S)
            self._engine = self._connection = None
        self.thread().quit()

    # --- one job ----------------------------------------------------------------------------

    def _drive(self, run: _Run, order: RunOrder) -> None:
        connection = self._connect()
        with contextlib.suppress(OSError):  # it may be gone already; its last words say why
            connection.send(("run", order.job_id, order.recipe, order.how))
        while run.outcome is None:
            if connection.poll(POLL_S):
                self._hear(run, connection.recv())
            elif self._engine is None or not self._engine.is_alive():
                raise EOFError
            self._obey(run)
            now = time.monotonic()
            self._weigh(run, now)
            self._judge_pause(run, now)
            if run.has_news and now - run.said_at >= REPORT_EVERY_S:
                self._say_progress(run)

    def _connect(self) -> Connection:
        if self._engine is not None and self._connection is not None and self._engine.is_alive():
            self.lane_news.emit(LaneNews(self._lane_id, "running"))
            return self._connection
        self._drop_engine()
        self.lane_news.emit(LaneNews(self._lane_id, "starting"))
        self._engine = self._make_engine()
        self._connection = self._engine.start()
        return self._connection

    def _hear(self, run: _Run, message: tuple[Any, ...]) -> None:
        kind, *rest = message
        if kind == "ready":
            log.info("engine of %s is ready: %s", self._lane_id, rest[0] if rest else "")
            self.lane_news.emit(LaneNews(self._lane_id, "running"))
            return
        if kind == "refused":
            run.error = f"The compute engine did not start: {rest[0]}."
            run.details = str(rest[1])
            run.outcome = "failed"
            self._drop_engine()
            return
        if not rest or rest[0] != run.job_id:
            return  # of a job that is over
        run.heard_at = time.monotonic()
        if kind == "event":
            self._hear_event(run, rest[1])
        elif kind == "failed":
            run.error = str(rest[1])
            run.details = str(rest[2]) if len(rest) > 2 else ""
        elif kind == "paused":
            self._say_rested(run)
        elif kind == "ended":
            run.outcome = self._outcome(run)

    def _hear_event(self, run: _Run, event: object) -> None:
        if isinstance(event, Progress):
            run.progress = min(FULL, event.done * FULL // event.total) if event.total > 0 else None
            run.stage = event.stage
            run.has_news = True
        elif isinstance(event, Finished):
            run.report = dict(event.values)
        elif isinstance(event, Measured | Warned):
            self.told.emit(Told(run.job_id, event))

    @staticmethod
    def _outcome(run: _Run) -> Outcome:
        if run.error:
            return "failed"
        return "finished" if run.report is not None else "stopped"

    def _obey(self, run: _Run) -> None:
        while True:
            try:
                order, job_id = self._orders.get_nowait()
            except Empty:
                return
            if order == "close":
                self._closing = True
                run.outcome = "closed"
                self._drop_engine()
                return
            if job_id != run.job_id or self._connection is None or self._engine is None:
                continue
            if order == "kill":
                run.killed = True
                self._engine.kill()
                raise EOFError
            run.pause_asked_at = time.monotonic() if order == "pause" else None
            if order == "resume":
                self.lane_news.emit(LaneNews(self._lane_id, "running", run.used_bytes))
            self._connection.send((order, job_id))

    def _bury(self, run: _Run) -> None:
        """The engine is gone under the job."""
        why = self._engine.why_ended() if self._engine is not None else "it never started"
        self._drop_engine()
        run.outcome = "stopped" if run.killed else "died"
        if not run.killed:
            run.error = f"The compute engine stopped: {why}. It starts anew with the next job."
            log.error("engine of %s stopped under job %s: %s", self._lane_id, run.job_id, why)

    def _drop_engine(self) -> None:
        if self._engine is not None:
            self._engine.kill()
        self._engine = self._connection = None

    # --- news -------------------------------------------------------------------------------

    def _say_progress(self, run: _Run) -> None:
        run.has_news = False
        run.said_at = time.monotonic()
        self.advanced.emit(Advanced(run.job_id, run.progress, run.stage, run.used_bytes))

    def _weigh(self, run: _Run, now: float) -> None:
        if self._engine is None or now - run.measured_at < MEMORY_EVERY_S:
            return
        run.measured_at = now
        used = self._engine.memory_bytes()
        if used != run.used_bytes:
            run.used_bytes = used
            run.peak_bytes = max(run.peak_bytes, used)
            self.lane_news.emit(LaneNews(self._lane_id, "running", used))

    def _judge_pause(self, run: _Run, now: float) -> None:
        """Take silence for a pause where the engine does not say so itself."""
        asked = run.pause_asked_at
        if asked is not None and now - max(asked, run.heard_at) > QUIET_MEANS_PAUSED_S:
            self._say_rested(run)

    def _say_rested(self, run: _Run) -> None:
        run.pause_asked_at = None
        self.lane_news.emit(LaneNews(self._lane_id, "paused", run.used_bytes))
        self.rested.emit(Rested(run.job_id))


@dataclass(frozen=True, slots=True)
class LaneSpec:
    """A device that gets a lane, and how its engine is made.

    Args:
        device: what the engine calls it, whose process sees this one alone; empty leaves
            what recipes say.
    """

    id: str
    title: str
    make_engine: Callable[[], Engine] = field(repr=False)
    total_bytes: int = 0
    device: str = ""


class LaneThread(QObject):
    """The window's end of a lane. Owns thread and worker."""

    _run = Signal(object)
    _close = Signal()

    def __init__(self, spec: LaneSpec, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._orders: SimpleQueue[tuple[Order, str]] = SimpleQueue()
        self._thread = QThread()
        self._thread.setObjectName(f"lane-{spec.id}")
        self.worker = LaneWorker(spec.id, spec.make_engine, self._orders)
        self.worker.moveToThread(self._thread)
        queued = Qt.ConnectionType.QueuedConnection
        self._run.connect(self.worker.run, queued)
        self._close.connect(self.worker.close, queued)
        self._thread.start()

    def run(self, order: RunOrder) -> None:
        """Let the worker run a job; returns at once."""
        self._run.emit(order)

    def order(self, order: Order, job_id: str) -> None:
        """Tell the worker something about the job that runs."""
        self._orders.put((order, job_id))

    def close(self) -> None:
        """Begin to end: the job, the engine, the thread."""
        self._orders.put(("close", ""))
        self._close.emit()

    def wait(self, seconds: float) -> bool:
        """Wait for the end of a closed lane."""
        return self._thread.wait(int(seconds * 1000))
