"""A full model while it is written: its writer and its journal, kept or dropped together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.engine.journal import Entry, Journal
from deltaworks.engine.plan_types import WorkItem
from deltaworks.errors import AppError
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from deltaworks.checkpoints.writer import ModelWriter
    from deltaworks.engine.execution import Run
    from deltaworks.engine.pipeline import Tally

    Words = np.ndarray[Any, Any]


class ModelOutput:
    """Use as a context: without a commit inside it, nothing stays on disk.

    Args:
        target: folder of the model.
        journal: of this output.
        make_writer: opens the writer, with the job's id and whether it goes on from what
            lies there.
    """

    def __init__(
        self, target: Path, journal: Journal, make_writer: Callable[[str, bool], ModelWriter]
    ) -> None:
        self._target = target
        self._journal = journal
        try:
            self._writer = make_writer(journal.job_id, bool(journal.found))
        except BaseException:
            journal.drop_unless_found()
            raise
        self._is_committed = False
        self._items: Sequence[WorkItem] = ()
        self._pieces: dict[str, tuple[int, str]] = {}
        self.found: dict[str, Mapping[str, Any]] = {}
        """Facts of the items that an earlier run has finished, by their ids."""

    def left(
        self, items: Sequence[WorkItem], offset_of: Callable[[WorkItem], int], run: Run
    ) -> list[WorkItem]:
        """Give the items that are still to be done; take over what an earlier run has done."""
        if self._journal.warning:
            run.warn(self._journal.warning)
        self._items = items
        finished, n_found = self._go_on(items, offset_of, run.tally), len(self._journal.found)
        self.found = {name: entry.facts for name, entry in finished.items()}
        if len(finished) < n_found:
            what = f"{n_found - len(finished)} of {n_found} finished items"
            run.warn(f"{what} of an earlier run do not fit any more and are done again")
        for item in items:
            if item.id in finished and (warning := finished[item.id].facts.get("warning")):
                run.warn(warning, item.tensor)
        return [item for item in items if item.id not in finished]

    def _go_on(
        self, items: Sequence[WorkItem], offset_of: Callable[[WorkItem], int], tally: Tally
    ) -> dict[str, Entry]:
        """Take over what an earlier run has finished and what is still as it was written.

        Args:
            items: of the plan.
            offset_of: gives an item's place in its tensor, in bytes.
            tally: told of every item; its control stops.

        Returns:
            Entries of the items that need not be done again, by their ids.
        """
        planned = {item.id: item for item in items}
        entries = {entry.item: entry for entry in self._journal.found if entry.item in planned}
        good: dict[str, Entry] = {}
        for name, entry in entries.items():
            tally.tell("reading back")
            item = planned[name]
            with contextlib.suppress(AppError, ValueError):
                offset = offset_of(item)
                raw = self._writer.read_back(item.tensor, entry.n_bytes, offset=offset)
                if checksum(np.frombuffer(raw, dtype=np.uint8)) == entry.checksum:
                    self._writer.take(item.tensor, raw, offset=offset)
                    good[name] = entry
                    self._pieces[name] = (entry.n_bytes, entry.checksum)
                    tally.add(item.read_bytes + item.write_bytes)
        if self._journal.found:
            self._journal.keep(good.values())
        return good

    def write(
        self,
        item: WorkItem,
        words: Words,
        offset: int,
        hashed: str,
        warning: str = "",
        *,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Put an item's words where they belong, and note them with what the user was told.

        Args:
            item: of the plan.
            words: its numbers as they are stored.
            offset: bytes before them in its tensor.
            hashed: their checksum.
            warning: what the user was told.
            facts: what a run that goes on from here must know of it, as plain JSON data.
        """
        raw = np.ascontiguousarray(words).reshape(-1).view(np.uint8)
        self.put(item, raw, offset)
        facts = {**(facts or {}), **({"warning": warning} if warning else {})}
        self.note(Entry(item.id, raw.nbytes, hashed, facts))

    def put(self, item: WorkItem, raw: Words, offset: int) -> None:
        """Write some of an item's bytes where they belong in its tensor; from any thread."""
        self._writer.write(item.tensor, raw, offset=offset)

    def note(self, entry: Entry) -> None:
        """Note that an item is written."""
        self._journal.add(entry)
        self._pieces[entry.item] = (entry.n_bytes, entry.checksum)

    def commit(self, control: JobControl, late: Mapping[str, bytes] | None = None) -> int:
        """Give the model its name.

        Args:
            control: stops.
            late: further files of its folder, known only now.

        Returns:
            Bytes of everything in its folder.
        """
        for name, content in (late or {}).items():
            (self._writer.partial / name).write_bytes(content)
        self._writer.add_hashes(self._hashes())
        self._journal.check_inputs()
        # The writer counts other bytes than the job does: it may stop, and say nothing.
        self._writer.commit(control.silent())
        self._is_committed = True
        self._journal.remove()
        return sum(path.stat().st_size for path in self._target.rglob("*") if path.is_file())

    def _hashes(self) -> dict[str, list[tuple[int, str]]]:
        """Give the checksums of each tensor's items in the order of its rows."""
        found: dict[str, list[tuple[int, str]]] = {}
        for item in sorted(self._items, key=lambda item: item.rows or (0, 0)):
            if item.id in self._pieces:
                found.setdefault(item.tensor, []).append(self._pieces[item.id])
        return {name: found[name] for name in sorted(found)}

    def __enter__(self) -> ModelOutput:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop everything that is not committed."""
        if not self._is_committed:
            self._writer.abort()
            self._journal.remove()
            if isinstance(error, Exception):
                self._journal.blame_inputs(error)


def checksum(words: Words) -> str:
    """Hash an item's bytes: blake3, hex."""
    from blake3 import blake3

    return blake3(np.ascontiguousarray(words).reshape(-1).view(np.uint8).data).hexdigest()
