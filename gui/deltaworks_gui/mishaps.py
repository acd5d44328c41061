"""What the window does about mishaps: faults nobody caught, sessions that ended early."""

from __future__ import annotations

import sys
import traceback

from PySide6.QtCore import QObject, QProcess, Qt, Signal, Slot

from deltaworks_gui.diagnostics import diagnostics_text, without_names
from deltaworks_gui.lanes.jobs import Job, JobState
from deltaworks_gui.logs import LogBook, catch_everything
from deltaworks_gui.main_window import MainWindow

_LINES = 200
"""Log lines in a report."""


class Mishaps(QObject):
    """Listens for faults, and asks what becomes of jobs that were cut off.

    Args:
        window: whose.
        book: the log.

    Signals:
        happened: traceback of the first fault that nobody caught; from any thread.
    """

    happened = Signal(str)

    def __init__(self, window: MainWindow, book: LogBook) -> None:
        super().__init__(window)
        self._window = window
        self._book = book
        self._was_told = False
        self._cut_off: list[str] = []
        self.happened.connect(self._on_fault, Qt.ConnectionType.QueuedConnection)
        catch_everything(self._hear)
        window.shown.connect(self.ask_about_jobs)

    def stop(self) -> None:
        """Listen no more."""
        catch_everything()

    def _hear(self, error: BaseException) -> None:
        if not self._was_told:
            self._was_told = True
            self.happened.emit("".join(traceback.format_exception(error)))

    @Slot(str)
    def _on_fault(self, trace: str) -> None:
        from deltaworks_gui.dialogs.crash import CrashDialog

        lines = diagnostics_text(self._book.model.last(_LINES))
        dialog = CrashDialog(f"{without_names(trace)}\n{lines}", self._window)
        dialog.restart_chosen.connect(self._on_restart)
        dialog.open()

    @Slot()
    def _on_restart(self) -> None:
        self._window.gone.connect(start_again)
        self._window.close()

    # Jobs that were cut off

    @Slot()
    def ask_about_jobs(self) -> None:
        """Ask once, at start, where jobs were interrupted by the end of the last session."""
        from deltaworks_gui.dialogs.recover import RecoverDialog

        jobs = [one for one in self._window.context.queue.jobs() if was_cut_off(one)]
        if not jobs or self._window.context.is_safe:
            return
        self._cut_off = [job.id for job in jobs]
        dialog = RecoverDialog(jobs, self._window)
        dialog.resume_chosen.connect(self._on_resume)
        dialog.discard_chosen.connect(self._on_discard)
        dialog.open()

    @Slot()
    def _on_resume(self) -> None:
        queue = self._window.context.queue
        for job_id in self._cut_off:
            queue.retry(job_id)
        queue.hold(False)

    @Slot()
    def _on_discard(self) -> None:
        self._window.context.queue.remove(self._cut_off)


def was_cut_off(job: Job) -> bool:
    """Whether the end of a session interrupted it."""
    return job.state is JobState.INTERRUPTED


@Slot()
def start_again() -> None:
    """Start this program anew, detached."""
    QProcess.startDetached(sys.executable, ["-m", "deltaworks_gui.app", *sys.argv[1:]])
