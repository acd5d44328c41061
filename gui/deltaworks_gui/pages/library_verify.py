"""Reading every byte of models, in a process of its own: decoding a delta loads torch."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

from deltaworks.errors import FileError
from deltaworks.library.rows import ModelRow
from deltaworks.progress import Event, JobControl, Progress

_EVERY_S = 0.1
Pair = tuple[str, str | None]
"""A model's path and its base's."""


def verify(pairs: Sequence[tuple[ModelRow, ModelRow | None]], control: JobControl) -> list[str]:
    """Read every byte of models; give their faults as sentences.

    Args:
        pairs: models, each with its base where it is listed.
        control: progress out, at most ten times a second; cancel in.

    Raises:
        CancelledError: stopped.
        FileError: the process that reads went down.
    """
    paths = [(row.path, base.path if base is not None else None) for row, base in pairs]
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_read_all, args=(theirs, paths), daemon=True)
    child.start()
    theirs.close()
    try:
        return _follow(ours, control)
    except EOFError as error:
        raise FileError("verifying ended without an answer", fix="Try again.") from error
    finally:
        child.kill()  # it only ever reads
        child.join()
        ours.close()


def _follow(connection: Connection, control: JobControl) -> list[str]:
    while True:
        control.check()
        if connection.poll(_EVERY_S):
            message = connection.recv()
            if isinstance(message, list):
                return message
            control.report(message)


def _read_all(connection: Connection, paths: Sequence[Pair]) -> None:
    """In the other process."""
    from deltaworks.checkpoints import verify_checkpoint

    last = 0.0

    def report(event: Event) -> None:
        nonlocal last
        if isinstance(event, Progress) and time.monotonic() >= last + _EVERY_S:
            last = time.monotonic()
            connection.send(event)

    faults: list[str] = []
    for path, base in paths:
        faults += verify_checkpoint(path, JobControl(report), base=base)
    connection.send(faults)
