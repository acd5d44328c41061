"""The thing that computes, seen from its lane: a pipe to talk through, and a life of its own.

The talk is that of ``deltaworks.studies.serve``.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Protocol

from deltaworks_gui.lanes.child import run_engine


class Engine(Protocol):
    """One device's engine. Used by its lane's thread alone."""

    def start(self) -> Connection:
        """Start it and give this end of its pipe."""

    def is_alive(self) -> bool:
        """Whether it can still answer."""

    def memory_bytes(self) -> int:
        """Resident memory, 0 when it cannot be told."""

    def end(self, seconds: float) -> None:
        """Ask it to go; end it by force after so many seconds."""

    def kill(self) -> None:
        """End it now."""

    def why_ended(self) -> str:
        """One clause that says how it went down."""


class ProcessEngine:
    """An engine in a process of its own, which may load torch, hang or die.

    Args:
        threads: cores it may compute on; 0 leaves one to the window.
        gpu: the only GPU that it sees, as ``CUDA_VISIBLE_DEVICES`` numbers it; empty for none.
    """

    def __init__(self, threads: int = 0, gpu: str = "") -> None:
        self._threads = threads
        self._gpu = gpu
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None

    def start(self) -> Connection:
        """Spawn the process: nothing of the window is in it."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(
            target=run_engine,
            args=(theirs, self._threads, self._gpu),
            name="deltaworks-engine",
            daemon=True,
        )
        self._process.start()
        theirs.close()
        self._connection = ours
        return ours

    @property
    def pid(self) -> int | None:
        """The process's number; None before it was started."""
        return self._process.pid if self._process is not None else None

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.is_alive()

    def memory_bytes(self) -> int:
        """Resident memory of the process; on a GPU's lane, its memory there."""
        import psutil

        if self.pid is None:
            return 0
        if self._gpu:
            from deltaworks.numerics.gpus import used_bytes

            return used_bytes(self._gpu, self.pid)
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def end(self, seconds: float) -> None:
        """Say quit, wait, then end it by force."""
        if self._process is None:
            return
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.send(("quit",))
        self._process.join(seconds)
        self.kill()

    def kill(self) -> None:
        """End the process now, and close the pipe."""
        if self._process is not None and self._process.is_alive():
            self._process.kill()
            self._process.join(2.0)
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def why_ended(self) -> str:
        """The signal or the exit code, in words."""
        if self._process is not None:
            self._process.join(0.5)  # the pipe may close a moment before the process is gone
        code = self._process.exitcode if self._process is not None else None
        if code is None:
            return "it closed its pipe"
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        if name == "SIGKILL":
            return "ended by the system (SIGKILL), most often for want of memory"
        if name == "SIGBUS":
            return "a file that it was reading was cut short, or its disk failed (SIGBUS)"
        if name == "SIGABRT":
            return "a library gave up (SIGABRT), most often for want of memory"
        return f"ended by signal {name}"


class ThreadEngine:
    """An engine inside the window's process, for tests and for looking into one.

    Args:
        serve: what to run with the other end of the pipe.
    """

    def __init__(self, serve: Callable[[Connection], None] | None = None) -> None:
        self._serve = serve
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None

    def start(self) -> Connection:
        """Start the thread."""
        serve = self._serve
        if serve is None:
            from deltaworks.studies.serve import serve as real_serve

            serve = real_serve
        ours, theirs = multiprocessing.Pipe()
        self._thread = threading.Thread(
            target=self._run, args=(serve, theirs), name="deltaworks-engine", daemon=True
        )
        self._thread.start()
        self._connection = ours
        return ours

    @staticmethod
    def _run(serve: Callable[[Connection], None], connection: Connection) -> None:
        try:
            serve(connection)
        except (EOFError, OSError):
            pass  # the lane closed its end
        finally:
            connection.close()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def memory_bytes(self) -> int:
        """Not to be told from the window's own."""
        return 0

    def end(self, seconds: float) -> None:
        """Say quit and wait; a thread cannot be forced."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.send(("quit",))
        if self._thread is not None:
            self._thread.join(seconds)
        self.kill()

    def kill(self) -> None:
        """Close the pipe; the thread ends at its next word."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def why_ended(self) -> str:
        """All that is known."""
        return "its thread ended"
