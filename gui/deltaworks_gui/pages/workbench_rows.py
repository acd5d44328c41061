"""Rows of models that are named by a path: listed ones from the library, others made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deltaworks.errors import AppError
from deltaworks.library.library import Library
from deltaworks.library.rows import ModelRow, State
from deltaworks.progress import JobControl


def placeholder(path: Path | str, role: str, name: str = "") -> ModelRow:
    """What is known of a model before anything was read."""
    place = Path(path)
    return ModelRow(
        id=0,
        path=str(place),
        name=name or place.name,
        kind="",
        role=role,
        state=State.SCANNING,
        size_bytes=0,
        modified_ns=0,
    )


def read_rows(library: Library, paths: Sequence[str], control: JobControl) -> dict[str, ModelRow]:
    """Rows of models at these places. Reads headers: for tasks only.

    A model that is not listed gets a row of its own with id 0; the list stays as it is.
    """
    rows = {}
    for path in paths:
        control.check()
        rows[path] = library.row_at(path) or _read(Path(path))
    return rows


def _read(path: Path) -> ModelRow:
    from deltaworks.checkpoints import open_checkpoint

    row = placeholder(path, "Unknown")
    try:
        with open_checkpoint(path) as opened:
            return replace(
                row,
                kind=opened.kind,
                size_bytes=sum(file.stat().st_size for file in opened.weight_files),
                state=State.READY,
            )
    except AppError as error:
        return replace(row, state=State.UNREADABLE, reason=error.what)
    except OSError as error:
        return replace(row, state=State.UNREADABLE, reason=error.strerror or str(error))
