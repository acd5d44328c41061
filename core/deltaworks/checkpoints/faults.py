"""What can be wrong with files, in words; the kinds that the library shows differently."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from deltaworks.errors import AppError, FileError, SpaceError

DAMAGED = "The file is damaged; download it again."


class IncompleteError(FileError):
    """Part of the model is not here: a shard is absent or a download did not finish."""


class UnsafeFormatError(FileError):
    """A pickle: opening it could run code, so it is not opened."""


def place(path: Path) -> str:
    """Name a file so that a person recognises it: its folder's name and its own."""
    return f"{path.parent.name}/{path.name}" if path.parent.name else str(path)


def file_fault(error: OSError, path: Path) -> AppError:
    """Say what the operating system refused.

    Args:
        error: as it was raised.
        path: what was read or written.
    """
    where = place(path)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return SpaceError(
            f"the disk is full ({_free(path):,} bytes free)",
            where=where,
            fix="Free some space or choose another disk.",
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return FileError(
            "no permission", where=where, fix="Change its permissions or choose another place."
        )
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return FileError("is not there", where=where, fix="Check the path.")
    reason = error.strerror or str(error) or type(error).__name__
    return FileError(reason.lower(), where=where, fix="Check the disk that holds it.")


def _free(path: Path) -> int:
    for folder in path.parents:
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return 0
