"""Looking through the watched folders: what is new, changed, gone."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from deltaworks.checkpoints import find_checkpoints
from deltaworks.errors import AppError
from deltaworks.library.facts import Facts, describe
from deltaworks.library.files import files_of, fingerprint
from deltaworks.library.index import Index
from deltaworks.library.records import link_declared, save_facts, set_absence
from deltaworks.library.rows import ModelRow, State
from deltaworks.library.table import load_rows
from deltaworks.library.volumes import RootRow, look_at
from deltaworks.progress import JobControl, Progress, Warned

FIRST_BATCH_SECONDS = 0.1
BATCH_SECONDS = 0.25
BATCH_ROWS = 200
_WORKERS = max(1, min(4, (os.cpu_count() or 2) - 1))  # one core is for the window


@dataclass(frozen=True, slots=True)
class _Known:
    """What the index holds of a path."""

    id: int
    fingerprint: str
    absence: str
    root: str
    is_forgotten: bool


@dataclass
class _Scan:
    """One pass over all roots."""

    index: Index
    control: JobControl
    on_rows: Callable[[list[ModelRow]], None]
    known: dict[str, _Known]
    seen: set[str] = field(default_factory=set)
    waiting: list[tuple[Facts, str]] = field(default_factory=list)
    back: list[int] = field(default_factory=list)
    next_batch: float = 0.0

    def run(self, roots: list[RootRow]) -> None:
        self.next_batch = time.monotonic() + FIRST_BATCH_SECONDS
        scanned = []
        try:
            with ThreadPoolExecutor(_WORKERS, thread_name_prefix="scan") as pool:
                for root in roots:
                    if self._look_through(root, pool):
                        scanned.append(root)
                self._revisit({root.path for root in roots}, pool)
        finally:
            self._deliver()
        self._settle({root.path for root in scanned}, {root.path for root in roots})

    def _look_through(self, root: RootRow, pool: ThreadPoolExecutor) -> bool:
        state, reason = look_at(root)
        try:
            if state == "Ready":
                self._walk(root, pool)
        except OSError as error:
            state, reason = "Unreadable", error.strerror or str(error)
        if state != "Ready":
            self.control.step(Warned(f"{root.path} cannot be scanned: {reason}", root.path))
        with self.index.write() as connection:
            connection.execute(
                "UPDATE roots SET state = ?, reason = ? WHERE path = ?", (state, reason, root.path)
            )
        # A root that is gone while its volume is there has been deleted: its models are Missing.
        return state in {"Ready", "Missing"}

    def _walk(self, root: RootRow, pool: ThreadPoolExecutor) -> None:
        pending: deque[Future[Facts | None]] = deque()
        for path in _candidates(root):
            self.control.check()
            if str(path) in self.seen:
                continue
            self.seen.add(str(path))
            pending.append(pool.submit(self._examine, path))
            if len(pending) >= 8 * _WORKERS:
                self._collect(pending.popleft(), root)
        while pending:
            self._collect(pending.popleft(), root)

    def _revisit(self, roots: set[str], pool: ThreadPoolExecutor) -> None:
        """Look at models outside the roots one by one: made here, or listed by a job."""
        for path, known in self.known.items():
            if known.root not in roots and path not in self.seen and _has_weights(Path(path)):
                self.seen.add(path)
                self._collect(pool.submit(self._examine, Path(path)), RootRow(known.root))

    def _examine(self, path: Path) -> Facts | None:
        """Describe a model unless it is as the index knows it. Runs on a pool thread."""
        known = self.known.get(str(path))
        if known is not None:
            with suppress(OSError):
                files = files_of(path)
                if known.is_forgotten or self._is_unchanged(known, fingerprint(files)):
                    return None
                return describe(path, files)
        return describe(path)

    def _is_unchanged(self, known: _Known, stamp: str) -> bool:
        if known.fingerprint != stamp:
            return False
        if known.absence:
            self.back.append(known.id)
        return True

    def _collect(self, future: Future[Facts | None], root: RootRow) -> None:
        self.control.check()
        facts = future.result()
        if facts is not None:
            self.waiting.append((facts, root.path))
        if len(self.waiting) >= BATCH_ROWS or time.monotonic() >= self.next_batch:
            self._deliver()
            self.control.step(Progress(len(self.seen), 0, f"{root.path}: {len(self.seen)} models"))

    def _deliver(self) -> None:
        self.next_batch = time.monotonic() + BATCH_SECONDS
        waiting, self.waiting = self.waiting, []
        if not waiting:
            return
        with self.index.write() as connection:
            ids = [save_facts(connection, facts, root) for facts, root in waiting]
        self.on_rows(load_rows(self.index, ids))

    def _settle(self, scanned: set[str], roots: set[str]) -> None:
        """After the walk: who is back, who is gone, who belongs to whom."""
        gone: dict[str, list[int]] = {State.MISSING: [], State.OFFLINE: []}
        for path, known in self.known.items():
            if path in self.seen or known.is_forgotten:
                continue
            absence = ""
            if known.root in roots and known.root not in scanned:
                absence = str(State.OFFLINE)
            elif not _has_weights(Path(path)):
                absence = str(State.MISSING)
            elif known.absence:
                self.back.append(known.id)
            if absence and absence != known.absence:
                gone[absence].append(known.id)
        with self.index.write() as connection:
            set_absence(connection, self.back, "")
            for absence, ids in gone.items():
                set_absence(connection, ids, absence)
            linked = link_declared(connection)
        changed = {*self.back, *gone[State.MISSING], *gone[State.OFFLINE], *linked}
        rows = load_rows(self.index, changed)
        bases = {row.family_id for row in rows if row.family_id is not None} - changed
        if rows:
            self.on_rows(rows + load_rows(self.index, bases))


def scan(
    index: Index,
    roots: Iterable[RootRow],
    control: JobControl,
    on_rows: Callable[[list[ModelRow]], None],
) -> None:
    """Bring the index in line with the disk.

    A model whose files kept name, size and time costs a look at its folder; only new and
    changed ones are opened. Nothing is ever dropped: what is gone is marked.

    Args:
        index: where models are kept.
        roots: where to look.
        control: progress counts models; the total is unknown.
        on_rows: receives new and changed rows in batches, on the calling thread.

    Raises:
        CancelledError: stopped; what was found so far is kept.
    """
    known = {
        record["path"]: _Known(
            record["id"],
            record["fingerprint"],
            record["absence"],
            record["root"],
            bool(record["is_forgotten"]),
        )
        for record in index.read(
            "SELECT id, path, fingerprint, absence, root, is_forgotten FROM models"
        )
    }
    _Scan(index, control, on_rows, known).run(list(roots))


def _has_weights(path: Path) -> bool:
    try:
        return any(file.is_weight for file in files_of(path))
    except OSError:
        return False


def _candidates(root: RootRow) -> Iterator[Path]:
    path = Path(root.path)
    if path.is_file():
        yield path
        return
    with suppress(AppError):  # a root that vanished between the look and the walk
        yield from find_checkpoints(path, subfolders=root.subfolders)
