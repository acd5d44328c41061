"""A log file of one job's own, beside the program's."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextlib.contextmanager
def job_log(path: str, job_id: str) -> Iterator[None]:
    """Write everything that is logged inside to a file as well, and how it ended.

    Args:
        path: the file; empty for none. One that cannot be written is done without.
        job_id: named in its first and last line.
    """
    handler = _handler(path)
    if handler is None:
        yield
        return
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(min(before, logging.INFO) if before else logging.INFO)
    try:
        log.info("job %s begins", job_id)
        yield
        log.info("job %s is done", job_id)
    except BaseException as error:
        log.info("job %s ended: %s", job_id, error, exc_info=True)
        raise
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
        handler.close()


def _handler(path: str) -> logging.Handler | None:
    if not path:
        return None
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        log.warning("no log is written to %s: %s", path, error.strerror)
        return None
    handler.setFormatter(logging.Formatter(_FORMAT))
    return handler
