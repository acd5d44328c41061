"""Looks at a queued job's input files beside the window, so that no slow disk stalls it."""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue
from typing import Any

from PySide6.QtCore import QObject, Signal

log = logging.getLogger(__name__)


class Freezer(QObject):
    """One thread that tells the states of files. Lives in the window's thread; the other emits.

    Signals:
        frozen: (job id, states of its input files).
    """

    frozen = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting: SimpleQueue[tuple[str, dict[str, Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def freeze(self, job_id: str, recipe: dict[str, Any]) -> None:
        """Look at a recipe's inputs soon."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="freezer", daemon=True)
            self._thread.start()
        self._waiting.put((job_id, recipe))

    def close(self) -> None:
        """End the thread; a look at a disk that hangs is left behind."""
        self._waiting.put(None)
        if self._thread is not None:
            self._thread.join(1.0)

    def _work(self) -> None:
        from deltaworks.studies.queued import states_of

        while (one := self._waiting.get()) is not None:
            job_id, recipe = one
            try:
                self.frozen.emit(job_id, states_of(recipe))
            except RuntimeError:  # the queue is gone already
                return
