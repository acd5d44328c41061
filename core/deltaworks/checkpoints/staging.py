"""Files in the making: beside their final place, under another name, and gone if they fail."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Container, Iterable
from pathlib import Path

from deltaworks.checkpoints.faults import file_fault, place
from deltaworks.errors import FileError, SpaceError

_UNSUPPORTED = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENODEV}


def refuse_existing(target: Path) -> None:
    """Refuse to write over anything.

    Raises:
        FileError: something of that name is there, or its folder cannot hold it.
    """
    try:
        exists = target.exists() or target.is_symlink()
    except OSError as error:
        raise file_fault(error, target) from error
    if exists:
        raise FileError("is there already", where=place(target), fix="Choose another name.")
    for folder in target.parents:
        if folder.is_dir():
            return
        if folder.exists():
            raise FileError(
                f"{folder.name} is a file, so nothing can be put into it",
                where=place(target),
                fix="Choose another folder.",
            )


def check_space(target: Path, n_bytes: int, *, there: Path | None = None) -> None:
    """Refuse to start what cannot fit.

    Args:
        target: final place.
        n_bytes: size of all that will be written.
        there: what lies on the disk already and counts towards it.

    Raises:
        SpaceError: with both numbers.
    """
    existing = next(folder for folder in target.parents if folder.is_dir())
    try:
        n_bytes -= _size_of(there) if there else 0
        free = shutil.disk_usage(existing).free
    except OSError as error:
        raise file_fault(error, target) from error
    if free < n_bytes:
        raise SpaceError(
            f"needs {n_bytes:,} bytes, {free:,} are free on its disk",
            where=place(target),
            fix="Free some space or choose another disk.",
        )


def _size_of(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def make_parents(target: Path) -> tuple[Path, ...]:
    """Make the folders above a target; give those that were made, innermost first."""
    made = [folder for folder in target.parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remove_empty(made)
        raise file_fault(error, target.parent) from error
    return tuple(made)


def remove_empty(folders: tuple[Path, ...] | list[Path]) -> None:
    """Take away folders that we made, as far as nothing else is in them."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def remove_others(folder: Path, names: Container[str]) -> None:
    """Take away everything in a folder of ours that is not to stay."""
    for path in list(folder.iterdir()):
        if path.name in names:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def partial_path(target: Path, job_id: str, *, is_free: bool = True) -> Path:
    """Name what is not finished yet: ``<name>.partial-<job>`` beside the target.

    Args:
        target: final place.
        job_id: of the job; a random one when empty.
        is_free: whether nothing may lie there yet; then a number is added where it does.
    """
    stem = f"{target.name}.partial-{job_id or secrets.token_hex(4)}"
    number, path = 1, target.with_name(stem)
    while is_free and (path.exists() or path.is_symlink()):
        number += 1
        path = target.with_name(f"{stem}-{number}")
    return path


def sync_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise file_fault(error, folder) from error
    finally:
        os.close(fd)


def refuse_links(paths: Iterable[Path]) -> None:
    """Refuse to write into what was begun before, where a link has taken its place.

    Raises:
        FileError: naming the first that would lead to somebody else's file.
    """
    for path in paths:
        if path.is_symlink() or (path.is_file() and path.stat().st_nlink > 1):
            text = "is a link to another file, so nothing is written to it"
            raise FileError(text, where=place(path), fix="Remove it and start again.")


def publish_file(partial: Path, target: Path) -> None:
    """Give a finished file its final name, and never take another file's place."""
    _publish(partial, target, _link_file)


def publish_folder(partial: Path, target: Path) -> None:
    """Give a finished folder its final name, and never take another's place."""
    _publish(partial, target, _rename_folder)


def _publish(partial: Path, target: Path, move: Callable[[Path, Path], None]) -> None:
    try:
        move(partial, target)
    except (FileExistsError, NotADirectoryError) as error:
        text = "was made by something else in the meantime"
        raise FileError(text, where=place(target), fix="Choose another name.") from error
    except OSError as error:
        raise file_fault(error, target) from error
    sync_folder(target.parent)


def _link_file(partial: Path, target: Path) -> None:
    try:
        # A link refuses a name that is taken; a rename would not.
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:
        _rename_folder(partial, target)
    else:
        partial.unlink()


def _rename_folder(partial: Path, target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise FileExistsError(errno.EEXIST, "exists", str(target))
    try:
        partial.rename(target)
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:  # a folder got the name a moment ago
            raise FileExistsError(errno.EEXIST, "exists", str(target)) from error
        raise
