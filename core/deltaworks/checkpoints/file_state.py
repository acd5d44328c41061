"""Which file, and which state of it: told without reading it."""

from __future__ import annotations

import os
from pathlib import Path

from deltaworks.checkpoints.faults import file_fault

FileState = tuple[int, int, int]
"""Size in bytes, time of the last change in nanoseconds, and which file it is."""


def state_of(path: Path, fd: int | None = None) -> FileState:
    """Tell the state of a file by its path, or of one that is open.

    Raises:
        FileError: it is not there.
    """
    try:
        facts = path.stat() if fd is None else os.fstat(fd)
    except OSError as error:
        raise file_fault(error, path) from error
    return facts.st_size, facts.st_mtime_ns, facts.st_ino
