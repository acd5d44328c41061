"""What of a running job is finished, on disk: one JSON line an item.

The journal lies beside the temporary output, ``<name>.partial-<job>.journal``, and goes
when the output gets its final name. A job that was killed leaves both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltaworks.errors import FileError

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One finished item.

    Args:
        item: its id in the plan.
        n_bytes: bytes it put into the output.
        checksum: blake3 of those bytes, hex.
    """

    item: str
    n_bytes: int
    checksum: str


def journal_path(target: Path, job_id: str) -> Path:
    """Where the journal of an output lies while it is being made."""
    return target.with_name(f"{target.name}.partial-{job_id}.journal")


class Journal:
    """The journal of one output. Written by one thread, in the order of the plan.

    Args:
        target: final place of the output.
        job_id: as in the name of the temporary output.
        recipe: the document that makes the output again.
    """

    def __init__(self, target: Path, job_id: str, recipe: Mapping[str, Any]) -> None:
        self.path = journal_path(target, job_id)
        self._file = self.path.open("x", encoding="utf-8", newline="\n")
        self._write({"format": _FORMAT, "job": job_id, "recipe": recipe})

    def add(self, entry: Entry) -> None:
        """Note a finished item; handed to the system at once, so that a kill loses nothing."""
        self._write({"item": entry.item, "bytes": entry.n_bytes, "blake3": entry.checksum})

    def close(self) -> None:
        """Leave the journal on disk, for a later run to go on from."""
        self._file.close()

    def remove(self) -> None:
        """The output has its name, or is gone: nothing to go on with."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()


def read_journal(path: Path) -> tuple[dict[str, Any], tuple[Entry, ...]]:
    """Read a journal back: its head line and every whole entry.

    A last line that was cut short by a kill is left out.

    Raises:
        FileError: there is no such file, or its head is damaged.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise FileError(error.strerror or str(error), where=str(path)) from error
    whole = [_parsed(line) for line in lines[:-1]]
    head = whole[0] if whole else None
    if not head or head.get("format") != _FORMAT:
        raise FileError(f"no journal of format {_FORMAT}", where=str(path))
    entries = [
        Entry(line["item"], line["bytes"], line["blake3"]) for line in whole[1:] if line is not None
    ]
    return head, tuple(entries)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        parsed: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return parsed
