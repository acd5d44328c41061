"""What a job reads: opened so that one fault does not hide others, and held to stay as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from deltaworks.checkpoints import open_checkpoint
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.file_state import FileState, state_of
from deltaworks.checkpoints.mapping_faults import check_mapped
from deltaworks.errors import AppError, FileError


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


class FrozenInputs:
    """The files that a job reads, as they were when it opened them.

    Args:
        checkpoints: its inputs; what they stand on counts as well.
    """

    def __init__(self, checkpoints: Sequence[Checkpoint]) -> None:
        self._states: dict[Path, FileState] = {}
        for checkpoint in checkpoints:
            self._states.update(checkpoint.file_states)

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
