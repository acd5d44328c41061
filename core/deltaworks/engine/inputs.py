"""Opening inputs so that one that fails does not hide what is wrong with the others."""

from __future__ import annotations

from contextlib import ExitStack

from deltaworks.checkpoints import open_checkpoint
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.errors import AppError


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
