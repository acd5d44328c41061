"""The engine's process: jobs come through a pipe, events go back.

Messages in: ``("run", job_id, recipe)`` or ``("run", job_id, recipe, how)``, where ``how`` may
hold ``resume`` (go on from what a killed run has left), ``inputs`` (states of the input files when
the job was queued) and ``log`` (a file for the job's own log), ``("cancel", job_id)``,
``("pause", job_id)``, ``("resume", job_id)``, ``("quit",)``. Messages out:
``("ready", versions)`` once, then of every job ``("event", job_id, event)``…,
``("paused", job_id)`` whenever it has come to rest, mostly
``("failed", job_id, error, details)`` or ``("stopped", job_id)`` when it did not succeed, and
always ``("ended", job_id)`` last.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
import traceback
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from deltaworks.engine.environment import versions
from deltaworks.errors import AppError, CancelledError
from deltaworks.progress import Event, JobControl, Progress
from deltaworks.recipes import parse_recipe
from deltaworks.studies.job_logs import job_log
from deltaworks.studies.queued import check_queued
from deltaworks.studies.releasing import release_memory

log = logging.getLogger(__name__)

RESUMABLE = frozenset({"compress", "grow", "merge", "rebuild", "repair", "sweep"})
"""Kinds of jobs that a killed run leaves a journal of; others begin again."""
_BETWEEN = 0.1
"""Seconds between two reports of progress; other events are never held back."""


def serve(connection: Connection) -> None:
    """Run jobs one after the other until told to quit, or until the pipe closes.

    torch is loaded by the first job that needs it.
    """
    _Server(connection).serve()


class _Server:
    """One pipe. A thread listens, the calling thread works."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._orders: SimpleQueue[tuple[str, dict[str, Any], dict[str, Any]] | None]
        self._orders = SimpleQueue()
        self._controls: dict[str, JobControl] = {}
        self._kind = ""

    def serve(self) -> None:
        self._send("ready", versions())
        listener = threading.Thread(target=self._listen, daemon=True)
        listener.start()
        while (order := self._orders.get()) is not None:
            self._run(*order)

    def _listen(self) -> None:
        try:
            while True:
                word, *rest = self._connection.recv()
                if word == "quit":
                    break
                self._hear(word, rest)
        except (EOFError, OSError):
            log.info("the pipe closed")
        finally:
            for control in list(self._controls.values()):
                control.cancelled.set()
            self._orders.put(None)

    def _hear(self, word: str, rest: list[Any]) -> None:
        job_id = rest[0]
        if word == "run":
            rested = functools.partial(self._rest, job_id)
            self._controls[job_id] = JobControl(_Thinned(self, job_id), rested=rested)
            self._orders.put((job_id, rest[1], rest[2] if len(rest) > 2 else {}))
            return
        control = self._controls.get(job_id)
        if control is None:
            return  # it ended while the word was on its way
        if word == "cancel":
            control.cancelled.set()
        elif word == "pause":
            control.running.clear()
        elif word == "resume":
            control.running.set()
        else:
            log.warning("unknown word %r", word)

    def _rest(self, job_id: str) -> None:
        """Give memory back, then say that the job has come to rest."""
        release_memory(keeps_model=self._kind == "generate")
        self._send("paused", job_id)

    def _run(self, job_id: str, recipe: dict[str, Any], how: dict[str, Any]) -> None:
        control = self._controls[job_id]
        self._kind = str(recipe.get("kind", ""))
        try:
            with job_log(how.get("log", ""), job_id):
                _do(recipe, control, how)
        except CancelledError:
            self._send("stopped", job_id)
        except AppError as error:
            self._send("failed", job_id, error, _details(error))
        except Exception as bug:
            log.exception("job %s crashed", job_id)
            self._send("failed", job_id, f"Internal error: {bug}. See the log.", _details(bug))
        finally:
            del self._controls[job_id]
            self._send("ended", job_id)

    def _send(self, *message: object) -> None:
        """Send, unless nobody is there to hear it any more."""
        with self._sending, contextlib.suppress(OSError):
            self._connection.send(message)

    def send_event(self, job_id: str, event: Event) -> None:
        """Send an event of a job."""
        self._send("event", job_id, event)


class _Thinned:
    """Sends events; of progress only the first, the last and ten a second."""

    def __init__(self, server: _Server, job_id: str) -> None:
        self._server, self._job_id = server, job_id
        self._told_at = float("-inf")
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and not self._is_due(event):
            return
        self._server.send_event(self._job_id, event)

    def _is_due(self, event: Progress) -> bool:
        now = time.monotonic()
        with self._lock:
            is_last = event.total > 0 and event.done >= event.total
            if not is_last and now - self._told_at < _BETWEEN:
                return False
            self._told_at = now
            return True


def _do(recipe: dict[str, Any], control: JobControl, how: dict[str, Any]) -> None:
    from deltaworks.studies.jobs import run_job

    control.check()
    check_queued(how.get("inputs", {}))
    parsed = parse_recipe(recipe)
    resume = bool(how.get("resume")) and parsed.kind in RESUMABLE
    run_job(parsed, control, resume=resume)


def _details(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
