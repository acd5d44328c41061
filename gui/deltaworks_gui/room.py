"""How much was saved and how much is free, measured beside the window."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from deltaworks.progress import JobControl
from deltaworks_gui.context import AppContext

EVERY_MS = 60_000


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes."""

    saved: int
    free: int
    total: int


class RoomWatch(QObject):
    """Measures now, every minute, and whenever something was made or removed.

    Signals:
        measured: a Room.
    """

    measured = Signal(object)

    def __init__(self, context: AppContext, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._is_running = False
        self._again = False
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.measure)
        context.queue.job_ended.connect(self.measure)
        context.navigator.library_changed.connect(self.measure)

    def start(self) -> None:
        """Begin."""
        self._timer.start()
        self.measure()

    @Slot()
    def measure(self, _why: object = None) -> None:
        """Measure soon; once more when asked while measuring."""
        if self._is_running:
            self._again = True
            return
        self._is_running = True
        library, store = self._context.library, self._context.home.store

        def work(_control: JobControl) -> Room:
            usage = shutil.disk_usage(_existing(store))
            return Room(library.sizes().saved, usage.free, usage.total)

        self._context.tasks.start(work, succeeded=self._on_measured, failed=self._on_failed)

    @Slot(object)
    def _on_measured(self, room: Room) -> None:
        self.measured.emit(room)
        self._on_failed()

    @Slot(object)
    def _on_failed(self, _error: object = None) -> None:
        self._is_running = False
        if self._again:
            self._again = False
            self.measure()


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
