"""What of a running job is finished, on disk: one JSON line an item.

The journal lies beside the temporary output, ``<name>.partial-<job>.journal``, and goes
when the output gets its final name. A job that was killed leaves both, and a later run of
the same recipe goes on from them, or takes them away. While a job runs it holds a lock on
its journal, which the system takes back however the job ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.staging import make_parents, remove_empty
from deltaworks.engine.environment import versions
from deltaworks.engine.faults import from_system
from deltaworks.engine.inputs import FrozenInputs
from deltaworks.engine.locking import is_same_file, try_lock
from deltaworks.errors import CancelledError, FileError

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One finished item.

    Args:
        item: its id in the plan.
        n_bytes: bytes it put into the output.
        checksum: blake3 of those bytes, hex.
        facts: what else is needed to count it as done, as plain JSON data.
    """

    item: str
    n_bytes: int
    checksum: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def job_id_of(recipe: Mapping[str, Any]) -> str:
    """Give the id of a job for temporary names: the same whenever the recipe is."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def partial_of(target: Path, job_id: str) -> Path:
    """Where an output lies while it is being made."""
    return target.with_name(f"{target.name}.partial-{job_id}")


def journal_path(target: Path, job_id: str) -> Path:
    """Where the journal of an output lies while it is being made."""
    return target.with_name(f"{target.name}.partial-{job_id}.journal")


class Journal:
    """The journal of one output. Written by one thread, in the order of the plan.

    What an earlier run of the same recipe has left is taken over, or taken away.

    Args:
        target: final place of the output.
        recipe: the document that makes the output again.
        inputs: what is read, as long as it is open.
        resume: whether to go on from what an earlier run has left.

    Attributes:
        found: what an earlier run has finished, to be checked; empty for a fresh start.
        warning: why there is nothing to go on from although something was left.

    Raises:
        FileError: another run is making the same output now, or the folder takes no file.
    """

    def __init__(
        self,
        target: Path,
        recipe: Mapping[str, Any],
        inputs: Sequence[Checkpoint] = (),
        *,
        resume: bool = False,
    ) -> None:
        target = target.absolute()
        self.job_id = job_id_of(recipe)
        self.path = journal_path(target, self.job_id)
        self.found: tuple[Entry, ...] = ()
        self.warning = ""
        self._partial = partial_of(target, self.job_id)
        self._head = _head(self.job_id, recipe, inputs)
        self._inputs = FrozenInputs(inputs)
        self._made = make_parents(target)
        try:
            self._file = _locked(self.path, target)
        except BaseException:
            remove_empty(self._made)
            raise
        try:
            if resume:
                self._take_over()
            if not self.found:
                _take_away(self._partial)
                self.keep(())
        except OSError as error:
            self.remove()
            raise from_system(error, str(self.path)) from error

    def _take_over(self) -> None:
        if not self.path.stat().st_size:
            return
        try:
            head, entries = read_journal(self.path)
        except FileError as error:
            self.warning = f"what an earlier run has left is not used: {error.what}"
            return
        changed = [key for key in self._head if head.get(key) != self._head[key]]
        if changed:
            what = " and ".join(changed)
            self.warning = f"what an earlier run has left is not used: other {what}"
        elif self._partial.exists():
            self.found = entries

    def keep(self, entries: Iterable[Entry]) -> None:
        """Go on from these entries alone."""
        self._file.truncate(0)
        for line in (self._head, *map(_line, entries)):
            self._write(line)

    def add(self, entry: Entry) -> None:
        """Note a finished item; handed to the system at once, so that a kill loses nothing.

        Raises:
            FileError: what it was made from could not be read, so it is not finished.
        """
        self._inputs.check_readable()
        self._write(_line(entry))

    def check_inputs(self) -> None:
        """Look at the inputs once more, before the output gets its name.

        Raises:
            FileError: one of them is not what it was.
        """
        self._inputs.check()

    def blame_inputs(self, error: Exception) -> None:
        """Say that an input changed in place of what came of it.

        Raises:
            FileError: caused by the error; nothing is raised where no input changed, or
                where the user has stopped the job.
        """
        if isinstance(error, CancelledError):
            return
        try:
            self._inputs.check()
        except FileError as fault:
            if str(fault) != str(error):
                raise fault from error

    def close(self) -> None:
        """Leave the journal on disk, for a later run to go on from."""
        self._file.close()

    def remove(self) -> None:
        """The output has its name, or is not wanted: nothing to go on with."""
        if self._file.closed:
            return  # what lies there now is another run's
        _take_away(self._partial)
        if os.name == "nt":  # which removes no open file
            self.close()
        self.path.unlink(missing_ok=True)
        self.close()
        remove_empty(self._made)

    def drop_unless_found(self) -> None:
        """Take away what is new; leave what an earlier run has done for another try."""
        if self.found:
            self.close()
        else:
            self.remove()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()


class Rests:
    """What a killed run may have left beside an output that has its final name already.

    Args:
        target: final place of the output.
        recipe: the document that makes it again.
    """

    def __init__(self, target: Path, recipe: Mapping[str, Any]) -> None:
        target = target.absolute()
        self._recipe = recipe
        self._job_id = job_id_of(recipe)
        self._journal = journal_path(target, self._job_id)
        self._partial = partial_of(target, self._job_id)

    def are_there(self) -> bool:
        """Whether there are any."""
        return self._journal.exists() or self._partial.exists()

    def are_of_a_finished_output(self) -> bool:
        """Whether there is a journal, and nothing that still waits for its name."""
        return self._journal.is_file() and not self._partial.exists()

    def are_of(self, inputs: Sequence[Checkpoint]) -> bool:
        """Whether the journal tells of these inputs, as they are now."""
        found, _ = read_journal(self._journal)
        head = _head(self._job_id, self._recipe, inputs)
        return all(found.get(key) == head[key] for key in ("job", "recipe", "inputs"))

    def remove(self) -> None:
        """Take them away, unless a run that is alive has them."""
        try:
            with self._journal.open("a") as file:
                if try_lock(file):
                    _take_away(self._partial)
                    self._journal.unlink(missing_ok=True)
        except OSError as error:
            raise from_system(error, str(self._journal)) from error


def _head(job_id: str, recipe: Mapping[str, Any], inputs: Sequence[Checkpoint]) -> dict[str, Any]:
    """Say all that must be the same for what was finished to be of use, as JSON has it."""
    identities = [checkpoint.identity for checkpoint in inputs]
    head = {
        "format": _FORMAT,
        "job": job_id,
        "recipe": recipe,
        "inputs": [[one.header, one.size_bytes, one.modified_ns] for one in identities],
        "versions": versions(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(head))
    return plain


def _line(entry: Entry) -> dict[str, Any]:
    line: dict[str, Any] = {
        "item": entry.item,
        "bytes": entry.n_bytes,
        "blake3": entry.checksum,
    }
    return line | ({"facts": entry.facts} if entry.facts else {})


def _locked(path: Path, target: Path) -> TextIOWrapper:
    """Open a journal, new or old, for this run alone."""
    while True:
        try:
            file = path.open("a", encoding="utf-8", newline="\n")
        except OSError as error:
            raise from_system(error, str(path)) from error
        if not try_lock(file):
            file.close()
            what = "is being made by another run of the same job"
            raise FileError(what, where=str(target), fix="Wait for it, or stop it.")
        if is_same_file(file, path):
            return file
        file.close()  # the run that had it has just ended, and took it away


def _take_away(partial: Path) -> None:
    if partial.is_dir() and not partial.is_symlink():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        partial.unlink(missing_ok=True)


def read_journal(path: Path) -> tuple[dict[str, Any], tuple[Entry, ...]]:
    """Read a journal back: its head line and every whole entry.

    A last line that was cut short by a kill is left out.

    Raises:
        FileError: there is no such file, or its head is damaged.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise FileError(error.strerror or str(error), where=str(path)) from error
    head = _parsed(lines[0]) if len(lines) > 1 else None
    if not head or head.get("format") != _FORMAT:
        raise FileError(f"no journal of format {_FORMAT}", where=str(path))
    entries = []
    for line in lines[1:-1]:
        entry = _entry(_parsed(line))
        if entry is None:
            break
        entries.append(entry)
    return head, tuple(entries)


def _entry(line: dict[str, Any] | None) -> Entry | None:
    if line is None:
        return None
    try:
        return Entry(str(line["item"]), int(line["bytes"]), line["blake3"], line.get("facts", {}))
    except (KeyError, TypeError, ValueError):
        return None


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None
