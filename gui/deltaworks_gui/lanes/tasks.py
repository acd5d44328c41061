"""Short background work on the window's own pool: scan, hash, estimate.

The only way off the window's thread besides a lane. Results come back as queued
signals to methods of objects that live in the window's thread.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6.QtCore import QObject, Qt, QThreadPool, Signal, Slot

from deltaworks.errors import AppError, CancelledError
from deltaworks.progress import Event, JobControl

log = logging.getLogger(__name__)

Work = Callable[[JobControl], Any]
Receiver = Callable[[Any], None]


class Task(QObject):
    """One piece of work. Lives in the window's thread; the pool's thread only emits.

    Signals:
        reported: an event of the core, not thinned; keep them few.
        succeeded: what the work returned.  failed: an AppError.
        stopped: ``cancel`` took effect.  ended: always last.
    """

    reported = Signal(object)
    succeeded = Signal(object)
    failed = Signal(object)
    stopped = Signal()
    ended = Signal()

    def __init__(self, work: Work, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._work = work
        self.control = JobControl(self._report)

    def cancel(self) -> None:
        """Ask it to stop; nothing of it is heard afterwards but ``stopped`` and ``ended``."""
        self.control.cancelled.set()

    def run(self) -> None:
        """Do the work. On a pool's thread."""
        try:
            if self.control.cancelled.is_set():
                raise CancelledError("stopped before it began")
            result = self._work(self.control)
            self._emit(self.succeeded, result)
        except CancelledError:
            self._emit(self.stopped)
        except AppError as error:
            self._emit(self.failed, error)
        except Exception as bug:
            log.exception("background work went wrong")
            self._emit(self.failed, AppError(f"internal error: {bug}", fix="See the log."))
        finally:
            self._emit(self.ended)

    def _report(self, event: Event) -> None:
        self._emit(self.reported, event)

    def _emit(self, signal: Any, *payload: object) -> None:
        if shiboken6.isValid(self):
            signal.emit(*payload)


class TaskPool(QObject):
    """Starts tasks, keeps them alive while they run, ends them with the window.

    Args:
        threads: how many at once; 0 leaves one core to the window.
    """

    def __init__(self, threads: int = 0, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(threads or max(2, (os.cpu_count() or 2) - 1))
        self._running: set[Task] = set()
        self._closing = False

    @property
    def running(self) -> int:
        """How many tasks have not ended."""
        return len(self._running)

    def start(
        self,
        work: Work,
        *,
        succeeded: Receiver | None = None,
        failed: Receiver | None = None,
        reported: Receiver | None = None,
    ) -> Task:
        """Run ``work(control)`` beside the window.

        Args:
            work: gets a JobControl: ``check`` it to be cancellable, ``report`` to it.
            succeeded: slot for the result.
            failed: slot for an AppError.
            reported: slot for each event.

        Raises:
            TypeError: a receiver that is no method of a QObject: it would be called in
                the pool's thread.
        """
        task = Task(work)
        queued = Qt.ConnectionType.QueuedConnection
        for signal, receiver in (
            (task.succeeded, succeeded),
            (task.failed, failed),
            (task.reported, reported),
        ):
            if receiver is not None:
                signal.connect(_checked(receiver), queued)
        self._running.add(task)
        task.ended.connect(self._on_ended, queued)
        if self._closing:
            task.cancel()
        self._pool.start(task.run)
        return task

    def close(self, seconds: float = 5.0) -> bool:
        """Cancel everything and wait for it."""
        self._closing = True
        for task in self._running:
            task.cancel()
        return self._pool.waitForDone(int(seconds * 1000))

    @Slot()
    def _on_ended(self) -> None:
        task = self.sender()
        if isinstance(task, Task):
            self._running.discard(task)
            task.deleteLater()


def _checked(receiver: Receiver) -> Receiver:
    if not isinstance(getattr(receiver, "__self__", None), QObject):
        raise TypeError(f"{receiver!r} is no method of a QObject and would run in another thread")
    return receiver
