"""A lock on an open file that the system takes back when its process ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, Any

_FAR = 1 << 40
"""Where Windows locks a byte: behind everything that is written, since it locks reading too."""


def try_lock(file: IO[Any]) -> bool:
    """Lock a file until it is closed; False when somebody else has."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(_FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network drives know no locks; on Windows this is what a held lock gives.
        return sys.platform != "win32"
    return True


def is_same_file(file: IO[Any], path: Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False
