"""JSON files beside the weights: configs and indexes, read with a limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deltaworks.checkpoints.faults import file_fault, place
from deltaworks.checkpoints.headers import parse_object
from deltaworks.errors import FileError

MAX_DOCUMENT_BYTES = 100_000_000


def read_bytes(path: Path, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Read a small file whole.

    Raises:
        FileError: it is unreadable, not a regular file, or larger than ``limit`` bytes.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise FileError("is not a regular file", where=place(path))
        if size > limit:
            raise FileError(
                f"has {size:,} bytes, at most {limit:,} are read",
                where=place(path),
                fix="Check that this is the right file.",
            )
        return path.read_bytes()
    except OSError as error:
        raise file_fault(error, path) from error


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object whose keys are all different.

    Raises:
        FileError: it cannot be read as that.
    """
    return parse_object(read_bytes(path).removeprefix(b"\xef\xbb\xbf"), place(path))
