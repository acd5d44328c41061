"""A full model while it is written: its writer and its journal, kept or dropped together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.engine.journal import Entry, Journal
from deltaworks.engine.plan_types import WorkItem
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from deltaworks.checkpoints.writer import ModelWriter

    Words = np.ndarray[Any, Any]


class ModelOutput:
    """Use as a context: without a commit inside it, nothing stays on disk.

    Args:
        target: folder of the model.
        job_id: names the temporary folder and the journal.
        recipe: for the journal.
        make_writer: opens the writer; called last, so that nothing is left when it refuses.
    """

    def __init__(
        self,
        target: Path,
        job_id: str,
        recipe: Mapping[str, Any],
        make_writer: Callable[[], ModelWriter],
    ) -> None:
        self._target = target
        self._writer = make_writer()
        try:
            self._journal = Journal(target, job_id, recipe)
        except BaseException:
            self._writer.abort()
            raise
        self._is_committed = False

    def write(self, item: WorkItem, words: Words, offset: int, checksum: str) -> None:
        """Put an item's words where they belong, and note them."""
        raw = np.ascontiguousarray(words).reshape(-1).view(np.uint8)
        self._writer.write(item.tensor, raw, offset=offset)
        self._journal.add(Entry(item.id, raw.nbytes, checksum))

    def commit(self, control: JobControl) -> int:
        """Give the model its name.

        Returns:
            Bytes of everything in its folder.
        """
        # The writer counts other bytes than the job does: it may stop, and say nothing.
        self._writer.commit(control.silent())
        self._is_committed = True
        self._journal.remove()
        return sum(path.stat().st_size for path in self._target.rglob("*") if path.is_file())

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
            self._journal.remove()  # first, so that the writer can take its folders away
            self._writer.abort()


def checksum(words: Words) -> str:
    """Hash an item's bytes: blake3, hex."""
    from blake3 import blake3

    return blake3(np.ascontiguousarray(words).reshape(-1).view(np.uint8).data).hexdigest()
