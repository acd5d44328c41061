"""Ctrl+C in a terminal and the end of a session close the window in order."""

from __future__ import annotations

import logging
import signal
import socket

from PySide6.QtCore import QObject, QSocketNotifier, Signal, Slot

log = logging.getLogger(__name__)

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


class SignalWatch(QObject):
    """Brings signals of the system into the event loop.

    Python runs its handlers between two of its own instructions, which an idle
    event loop does not reach; the wake-up socket does.

    Signals:
        asked_to_end: somebody wants the process to end.
    """

    asked_to_end = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._before = {
            number: signal.signal(number, _nothing)
            for number in (getattr(signal, name, None) for name in _ENDING)
            if number is not None
        }
        self._notifier = QSocketNotifier(self._reader.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._on_readable)

    def stop(self) -> None:
        """Give the signals back."""
        self._notifier.setEnabled(False)
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    @Slot()
    def _on_readable(self) -> None:
        numbers = self._reader.recv(64)
        ending = [number for number in numbers if number in self._before]
        if ending:
            log.info("signal %s", signal.Signals(ending[0]).name)
            self.asked_to_end.emit()


def _nothing(_number: int, _frame: object) -> None:
    """The wake-up socket has the number."""
