"""Failures of a work item as the user's errors, with the tensor's name."""

from __future__ import annotations

import errno

from deltaworks.errors import AppError, CancelledError, FileError, SpaceError


def placed(error: BaseException, item: str) -> BaseException:
    """Say which tensor a failure belongs to.

    Args:
        error: what a reader, a method or the writer raised.
        item: name of the tensor or work item.

    Returns:
        An AppError, caused by the failure, where the user can act; the same error with a
        note otherwise.
    """
    found = _as_ours(error, item)
    if found is not error:
        found.__cause__ = error
    return found


def _as_ours(error: BaseException, item: str) -> BaseException:
    if isinstance(error, CancelledError):
        return error
    if isinstance(error, AppError):
        if item in error.where:
            return error
        where = f"{error.where}: {item}" if error.where else item
        return type(error)(error.what, where=where, fix=error.fix)
    if is_out_of_memory(error):
        return SpaceError(
            "the memory of this machine is used up",
            where=item,
            fix="Close other programs, or choose fewer threads or a smaller memory budget.",
        )
    if isinstance(error, OSError):
        return from_system(error, item)
    error.add_note(f"at {item}")
    return error


def from_system(error: OSError, where: str) -> AppError:
    """Give a failed file operation as an error of ours."""
    place = str(error.filename or where)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return SpaceError(
            "the disk is full", where=place, fix="Free some space or choose another folder."
        )
    return FileError(error.strerror or str(error), where=place)


_OUT_OF_MEMORY = ("not enough memory", "can't start new thread", "out of memory")
"""What torch, Python and CUDA say."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, in Python, in torch or for a thread's stack."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)
    )
