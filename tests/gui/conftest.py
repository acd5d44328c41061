"""A window with a home of its own and an engine that follows a script instead of computing."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Slot
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from deltaworks.library.home import Home
from deltaworks.progress import Event, Finished, Progress
from deltaworks_gui.lanes.engines import ThreadEngine
from deltaworks_gui.lanes.lane import LaneSpec
from deltaworks_gui.lanes.queue import JobQueue

if TYPE_CHECKING:
    from deltaworks_gui.context import AppContext
    from deltaworks_gui.main_window import MainWindow

# Messages of Qt's that say something about the test's platform, not about us.
ALLOWED = (
    "This plugin does not support",
    "QFont::setPointSizeF",
    "propagateSizeHints",
)


@dataclass
class Script:
    """What the engine does with one job.

    Args:
        steps: progress events; ``seconds`` apart in all.
        total: bytes of work in all; 0 for an unknown end.
        events: further events, by the step before which they are sent.
        error: it fails with this at ``ends_at``; ``details`` its traceback.
        dies: the engine goes down at ``ends_at``.
        hangs: it hears nothing any more from ``ends_at`` on.
        says_paused: it tells when it has come to rest.
        gate: it waits for this before its first step.
    """

    steps: int = 20
    seconds: float = 0.1
    total: int = 3_000_000_000
    events: Mapping[int, Event] = field(default_factory=dict)
    error: object = None
    details: str = ""
    dies: bool = False
    hangs: bool = False
    ends_at: int = -1
    says_paused: bool = True
    report: dict[str, Any] = field(default_factory=lambda: {"artefacts": [], "warnings": []})
    gate: threading.Event | None = None


class ScriptedEngine:
    """Makes engines that follow scripts, one script a job, in order; then the last again."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.recipes: list[dict[str, Any]] = []
        self.hows: list[dict[str, Any]] = []
        self.engines = 0
        self.memory = 0

    def make(self) -> ThreadEngine:
        """A new engine."""
        self.engines += 1
        return _MadeUp(self)

    def serve(self, connection: Connection) -> None:
        """The engine's end of the talk."""
        connection.send(("ready", {"engine": "scripted"}))
        while True:
            message = connection.recv()
            if message[0] == "quit":
                return
            if message[0] == "run":
                self.recipes.append(message[2])
                self.hows.append(message[3])
                script = (
                    self.scripts.pop(0)
                    if len(self.scripts) > 1
                    else (self.scripts or [Script()])[0]
                )
                if not _play(connection, message[1], script):
                    return


class _MadeUp(ThreadEngine):
    def __init__(self, script: ScriptedEngine) -> None:
        super().__init__(script.serve)
        self._script = script

    def memory_bytes(self) -> int:
        return self._script.memory


def _play(connection: Connection, job_id: str, script: Script) -> bool:
    """Act one job out; False when the engine goes down with it."""
    if script.gate is not None:
        script.gate.wait(10)
    paused = False
    for step in range(script.steps + 1):
        if step in script.events:
            connection.send(("event", job_id, script.events[step]))
        if step == script.ends_at:
            if script.dies:
                return False
            if script.hangs:
                while True:
                    connection.recv()
            if script.error is not None:
                connection.send(("failed", job_id, script.error, script.details))
                connection.send(("ended", job_id))
                return True
        while connection.poll(script.seconds / script.steps if not paused else 0.5) or paused:
            order = connection.recv()[0]
            if order == "cancel":
                connection.send(("stopped", job_id))
                connection.send(("ended", job_id))
                return True
            paused = order == "pause"
            if paused and script.says_paused:
                connection.send(("paused", job_id))
        total = script.total
        done = total * step // script.steps if total else step
        connection.send(("event", job_id, Progress(done, total, f"layer {step}/{script.steps}")))
    connection.send(("event", job_id, Finished(script.report)))
    connection.send(("ended", job_id))
    return True


class Recorder(QObject):
    """Remembers what a signal brought, with the time."""

    def __init__(self, signal: Any) -> None:
        super().__init__()
        self.got: list[Any] = []
        self.times: list[float] = []
        signal.connect(self._on, Qt.ConnectionType.DirectConnection)

    @Slot(object)
    def _on(self, value: object) -> None:
        self.got.append(value)
        self.times.append(time.monotonic())


class LatencyProbe(QObject):
    """How late a 5 ms timer of the window's thread fires."""

    def __init__(self) -> None:
        super().__init__()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._on_tick)
        self._last = 0.0
        self.late_ms: list[float] = []

    def start(self) -> None:
        """Begin to measure."""
        self._last = time.perf_counter()
        self._timer.start()

    def stop(self) -> None:
        """Measure no more."""
        self._timer.stop()

    def percentile(self, share: float) -> float:
        """The lateness in ms that this share of ticks stays under."""
        ordered = sorted(self.late_ms)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

    @Slot()
    def _on_tick(self) -> None:
        now = time.perf_counter()
        self.late_ms.append(max(0.0, (now - self._last) * 1000 - 5))
        self._last = now


@pytest.fixture
def script() -> type[Script]:
    """How to tell the engine what to do."""
    return Script


@pytest.fixture
def record() -> type[Recorder]:
    """How to remember a signal of one value."""
    return Recorder


@pytest.fixture
def engine() -> ScriptedEngine:
    """The engine of this test's lanes."""
    return ScriptedEngine()


@pytest.fixture
def make_queue(qapp: QApplication, engine: ScriptedEngine) -> Iterator[Callable[..., JobQueue]]:
    """Make queues over the scripted engine; all of them end with the test."""
    made: list[JobQueue] = []

    def make(path: Path | None = None, **more: Any) -> JobQueue:
        queue = JobQueue([LaneSpec("cpu", "CPU", engine.make)], path, **more)
        made.append(queue)
        return queue

    yield make
    assert all(queue.shutdown() for queue in made), "a lane's thread did not end"


@pytest.fixture
def queue(make_queue: Callable[..., JobQueue]) -> JobQueue:
    """A queue that keeps nothing."""
    return make_queue()


@pytest.fixture
def latency() -> LatencyProbe:
    """Measures how late the window's thread is."""
    return LatencyProbe()


@pytest.fixture
def context(qapp: QApplication, home: Path, engine: ScriptedEngine) -> Iterator[AppContext]:
    """What pages are given, with a real library in a fresh home."""
    from deltaworks_gui import app

    made = app.make_context(
        qapp, Home(home), app.parse([]), [LaneSpec("cpu", "CPU", engine.make, 16_000_000_000)]
    )
    made.theme.apply(qapp, "light")
    yield made
    assert made.tasks.close(), "background work did not end"
    assert made.queue.shutdown(), "a lane's thread did not end"
    made.library.close()


@pytest.fixture
def window(context: AppContext, home: Path, qtbot: QtBot) -> Iterator[MainWindow]:
    """The window, shown."""
    from deltaworks_gui.logs import LogBook
    from deltaworks_gui.main_window import MainWindow

    book = LogBook(home / "logs")
    made = MainWindow(context, book)
    made.show()
    qtbot.waitExposed(made)
    yield made
    context.queue.cancel_all()
    qtbot.waitUntil(lambda: not context.queue.busy, timeout=5000)
    made.close()
    book.close()
    made.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture(scope="session", autouse=True)
def _no_collector() -> Iterator[None]:
    """Leave the wrappers of closed windows to the end of the process.

    As in ``deltaworks_gui.garbage``, no lane's thread may collect widgets. And a process that
    opens hundreds of windows, which the application never does, now and then crashed in the
    collector when it met what the binding had left of those that Qt had destroyed.
    """
    gc.collect()
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that leaves a thread of ours running fails, and so do Qt's warnings."""
    before = set(threading.enumerate())
    qtlog = request.getfixturevalue("qtlog")
    yield
    deadline = time.monotonic() + 3
    left = _ours(before)
    while left and time.monotonic() < deadline:
        left[0].join(0.1)
        left = _ours(before)
    assert not left, f"threads still run: {left}"
    bad = [
        record.message
        for record in qtlog.records
        if record.type_name != "QtDebugMsg" and not any(text in record.message for text in ALLOWED)
    ]
    assert not bad, f"Qt complained: {bad}"


def _ours(before: set[threading.Thread]) -> list[threading.Thread]:
    return [
        thread
        for thread in threading.enumerate()
        if thread not in before and not isinstance(thread, threading._DummyThread)
    ]
