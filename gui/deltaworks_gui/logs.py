"""Logging: rotating files written by one listener thread, and the Log dock's lines."""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QMessageLogContext as Context
from PySide6.QtCore import (
    QObject,
    Qt,
    QTimer,
    QtMsgType,
    Signal,
    SignalInstance,
    Slot,
    qInstallMessageHandler,
)

from deltaworks_gui.models.log import LIMIT, LogLine, LogModel

FILE_NAME = "deltaworks.log"
FILE_BYTES = 5_000_000
FILES = 5
_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_BATCH_MS = 100
_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}

qt_log = logging.getLogger("qt")


class _Relay(logging.Handler):
    """Keeps lines until the window's thread fetches them; wakes it once a batch."""

    def __init__(self, wake: SignalInstance) -> None:
        super().__init__()
        self._wake = wake
        self._waiting: deque[LogLine] = deque(maxlen=LIMIT)
        self._is_woken = False

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_text:
            text = f"{text}\n{record.exc_text}"
        self._waiting.append(LogLine(record.created, record.levelno, record.name, text))
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):  # the window may be gone before the last line
                self._wake.emit()

    def take(self) -> list[LogLine]:
        """Everything that waits."""
        self._is_woken = False
        lines = []
        while self._waiting:
            lines.append(self._waiting.popleft())
        return lines


class LogBook(QObject):
    """Starts logging for this process and feeds the Log dock's model.

    Args:
        folder: where the files go; made when missing.

    Signals:
        woken: there are lines to fetch.
    """

    woken = Signal()

    def __init__(
        self, folder: Path, level: int = logging.INFO, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.folder = folder
        self.model = LogModel(parent=self)
        folder.mkdir(parents=True, exist_ok=True)
        file = RotatingFileHandler(
            folder / FILE_NAME, maxBytes=FILE_BYTES, backupCount=FILES - 1, encoding="utf-8"
        )
        file.setFormatter(logging.Formatter(_FORMAT))
        self._relay = _Relay(self.woken)
        records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        self._handler = QueueHandler(records)
        self._listener = QueueListener(records, file, self._relay)
        self._file = file
        self._is_closed = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_BATCH_MS)
        self._timer.timeout.connect(self._fetch)
        self.woken.connect(self._on_woken, Qt.ConnectionType.QueuedConnection)
        root = logging.getLogger()
        root.addHandler(self._handler)
        root.setLevel(level)
        self._listener.start()

    def close(self) -> None:
        """Write what waits and end the thread. A second time does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        logging.getLogger().removeHandler(self._handler)
        self._listener.stop()
        self._file.close()
        self._timer.stop()

    @Slot()
    def _on_woken(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    @Slot()
    def _fetch(self) -> None:
        self.model.append(self._relay.take())


Listener = Callable[[BaseException], None]
_listener: Listener | None = None


def catch_everything(listener: Listener | None = None) -> None:
    """Log what nobody caught: exceptions in slots and threads, and Qt's own messages.

    Args:
        listener: told of every such exception, on the thread where it happened.
    """
    global _listener
    _listener = listener
    sys.excepthook = _on_exception
    threading.excepthook = _on_thread_exception
    sys.unraisablehook = _on_unraisable
    qInstallMessageHandler(_on_qt_message)


def _on_exception(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    sys.__excepthook__(kind, error, trace)  # for whoever started it in a terminal
    if not issubclass(kind, KeyboardInterrupt):
        logger = logging.getLogger("deltaworks_gui")
        logger.critical("nobody caught this", exc_info=(kind, error, trace))
        if _listener is not None:
            _listener(error)


def _on_thread_exception(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _on_exception(args.exc_type, args.exc_value, args.exc_traceback)


def _on_unraisable(args: sys.UnraisableHookArgs) -> None:
    if args.exc_value is not None:
        _on_exception(args.exc_type, args.exc_value, args.exc_traceback)


def _on_qt_message(kind: QtMsgType, _context: Context, text: str) -> None:
    qt_log.log(_LEVELS.get(kind, logging.WARNING), "%s", text)
