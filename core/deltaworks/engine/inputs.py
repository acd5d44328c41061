"""What a job reads: opened so that one fault does not hide others, and held to stay as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from deltaworks.checkpoints import open_checkpoint
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.faults import file_fault
from deltaworks.checkpoints.mapping_faults import check_mapped
from deltaworks.errors import AppError, FileError

FileState = tuple[int, int, int]
"""Size in bytes, time of the last change in nanoseconds, and which file it is."""


def open_input(
    path: str, base: Checkpoint | None, open_files: ExitStack, faults: list[AppError]
) -> Checkpoint | None:
    """Open a model, an adapter or a delta file.

    Args:
        path: where it is.
        base: what adapters and delta files stand on.
        open_files: closes it.
        faults: gets the error when it cannot be opened.
    """
    try:
        return open_files.enter_context(open_checkpoint(path, base=base))
    except AppError as error:
        faults.append(error)
        return None


def state_of(path: Path) -> FileState:
    """Tell the state of a file without reading it.

    Raises:
        FileError: it is not there.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise file_fault(error, path) from error
    return facts.st_size, facts.st_mtime_ns, facts.st_ino


class FrozenInputs:
    """The files that a job reads, as they are when it begins.

    Args:
        checkpoints: its inputs; what they stand on counts as well.
    """

    def __init__(self, checkpoints: Sequence[Checkpoint]) -> None:
        paths = dict.fromkeys(path for one in checkpoints for path in _files_of(one))
        self._states = {path: state_of(path) for path in paths}

    def check_readable(self) -> None:
        """Raise when a file could not be read while it was looked at; costs nothing.

        Raises:
            FileError: naming the file.
        """
        check_mapped(self._states)

    def check(self) -> None:
        """Raise when a file is not what it was: then no result may get a name.

        Raises:
            FileError: naming the file.
        """
        self.check_readable()
        check_states(self._states.items(), "while the job was reading it")


def check_states(states: Iterable[tuple[Path, FileState]], since: str) -> None:
    """Compare files with the states that they had.

    Args:
        states: files and what they were.
        since: for the message: ``since the job was queued``.

    Raises:
        FileError: naming the first file that is gone, replaced or changed.
    """
    for path, before in states:
        try:
            now = state_of(path)
        except FileError as error:
            what = f"{error.what} any more: it was taken away {since}"
            raise FileError(what, where=str(path), fix=error.fix) from error
        if now != before:
            raise FileError(
                f"the input changed {since} ({_difference(before, now)})",
                where=str(path),
                fix="Run the job again with the file as it is now.",
            )


def _difference(before: FileState, now: FileState) -> str:
    if before[0] != now[0]:
        return f"it had {before[0]:,} bytes, now {now[0]:,}"
    if before[2] != now[2]:
        return "another file has its name"
    return "it was written to"


def _files_of(checkpoint: Checkpoint) -> Iterator[Path]:
    yield from checkpoint.weight_files
    base = getattr(checkpoint, "base", None)
    if isinstance(base, Checkpoint):
        yield from _files_of(base)
