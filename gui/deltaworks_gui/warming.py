"""Imports what the other pages need while the window is idle, so that their first show is quick."""

from __future__ import annotations

import importlib
import logging
import time

from PySide6.QtCore import QObject, QTimer, Slot

from deltaworks.progress import JobControl
from deltaworks_gui.lanes.tasks import TaskPool

log = logging.getLogger(__name__)

AFTER_MS = 300
MODULES = (
    "deltaworks_gui.pages.workbench",
    "matplotlib.backends.backend_qtagg",
    "deltaworks_gui.pages.results",
)


class Warmer(QObject):
    """Starts a moment after the window shows. A page that comes sooner imports for itself."""

    def __init__(self, tasks: TaskPool, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks

    @Slot()
    def start(self) -> None:
        """Soon."""
        QTimer.singleShot(AFTER_MS, self, self._go)

    @Slot()
    def _go(self) -> None:
        self._tasks.start(import_pages)


def import_pages(control: JobControl) -> None:
    """Import each module, unless told to stop."""
    start = time.perf_counter()
    for name in MODULES:
        control.check()
        importlib.import_module(name)
    log.debug("pages imported in %.1f s", time.perf_counter() - start)
