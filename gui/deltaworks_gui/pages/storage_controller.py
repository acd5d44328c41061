"""The Storage page's state and rules."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot

from deltaworks.errors import AppError
from deltaworks.library.reclaim import DAY, Reclaim, find_reclaimable
from deltaworks.library.rows import ModelRow
from deltaworks.library.storage import VolumeUse, disk_use, largest, unused
from deltaworks.library.trash import Moved
from deltaworks.library.volumes import mount_point
from deltaworks.progress import JobControl
from deltaworks_gui.context import AppContext
from deltaworks_gui.formats import format_size
from deltaworks_gui.trashing import Going, Trasher

UNUSED_DAYS = 90


@dataclass(frozen=True, slots=True)
class Saved:
    """What deltas saved.

    Args:
        total: full sizes minus delta sizes, over every listed delta.
        this_month: of those made since the first of this month.
        by_family: by name of the base, most first.
        parts: each delta with what it saves: the trace of the total.
    """

    total: int = 0
    this_month: int = 0
    by_family: tuple[tuple[str, int], ...] = ()
    parts: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class StorageState:
    """What the page shows.

    Args:
        is_measuring: disks are being read.
        n_files: files that are listed, while they are being measured.
        chosen: places in ``reclaim`` that are ticked.
    """

    is_measuring: bool = True
    n_files: int = 0
    volumes: tuple[VolumeUse, ...] = ()
    saved: Saved = field(default_factory=Saved)
    reclaim: tuple[Reclaim, ...] = ()
    chosen: frozenset[int] = frozenset()
    largest: tuple[ModelRow, ...] = ()
    unused: tuple[ModelRow, ...] = ()
    trash: tuple[Moved, ...] = ()


class StorageController(QObject):
    """Measures disks and moves what the user ticked to the trash.

    Signals:
        changed: ``state`` is another one.
    """

    changed = Signal()

    def __init__(self, context: AppContext, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.trasher = Trasher(context, self)
        self.trasher.done.connect(self.measure)
        self._is_in_front = False
        self._is_running = False
        self._again = False
        self._is_stale = True
        self.state = StorageState()
        context.navigator.library_changed.connect(self._on_library_changed)

    def show_in_front(self, is_in_front: bool) -> None:
        """Measure what changed while another page was in front."""
        self._is_in_front = is_in_front
        if is_in_front and self._is_stale:
            self.measure()

    @Slot()
    def measure(self) -> None:
        """Read the disks beside the window; once more when asked while at it."""
        if self._is_running:
            self._again = True
            return
        self._is_running, self._is_stale = True, False
        library, home, trash = self._context.library, self._context.home, self.trasher.trash
        now = time.time()

        def work(_control: JobControl) -> StorageState:
            rows = library.rows()
            volumes = {mount_point(Path(row.path)) for row in rows}
            entries = trash.entries(volumes)
            bytes_of: defaultdict[str, int] = defaultdict(int)
            for one in entries:
                bytes_of[str(mount_point(Path(one.place)))] += one.size_bytes
            return StorageState(
                is_measuring=False,
                n_files=sum(len(row.files) for row in rows),
                volumes=tuple(disk_use(rows, home, trash_bytes=bytes_of)),
                saved=saved_of(rows, now),
                reclaim=tuple(find_reclaimable(rows, library.kin(), home, now=now)),
                largest=tuple(largest(rows)),
                unused=tuple(unused(rows, int((now - UNUSED_DAYS * DAY) * 1e9))),
                trash=tuple(entries),
            )

        self._context.tasks.start(work, succeeded=self._on_measured, failed=self._on_failed)

    # What the user ticks

    def choose(self, place: int, is_chosen: bool) -> None:
        """Tick or untick one thing."""
        chosen = set(self.state.chosen)
        (chosen.add if is_chosen else chosen.discard)(place)
        self._change(chosen=frozenset(chosen))

    @property
    def chosen(self) -> list[Reclaim]:
        """The things that are ticked."""
        return [self.state.reclaim[place] for place in sorted(self.state.chosen)]

    def going(self) -> list[Going]:
        """What would go, for the dialog."""
        return [
            Going(
                one.name,
                one.paths,
                one.size_bytes,
                one.frees_bytes,
                one.model,
                self._note(one),
            )
            for one in self.chosen
        ]

    def _note(self, one: Reclaim) -> str:
        if one.shared_with:
            names = ", ".join(one.shared_with)
            text = self.tr("{0} shares files with {1}: its removal frees {2} now.")
            return text.format(one.name, names, format_size(one.frees_bytes))
        return "" if one.is_safe else f"{one.name}: {one.why}."

    @Slot()
    def take(self) -> None:
        """Move what is ticked to the trash."""
        self.trasher.take(self.going())

    @Slot()
    def empty_trash(self) -> None:
        """Delete what lies in this application's trash."""
        self.trasher.empty(self.state.trash)

    # What came back

    @Slot(object)
    def _on_measured(self, state: StorageState) -> None:
        kept = {one.paths for one in self.chosen}
        chosen = frozenset(place for place, one in enumerate(state.reclaim) if one.paths in kept)
        self._is_running = False
        self._set(replace(state, chosen=chosen))
        if self._again:
            self._again = False
            self.measure()

    @Slot(object)
    def _on_failed(self, error: AppError) -> None:
        self._is_running = False
        self._change(is_measuring=False)
        self._context.navigator.banner("bad", str(error), key="storage", stays=True)

    @Slot()
    def _on_library_changed(self) -> None:
        self._is_stale = True
        if self._is_in_front:
            self.measure()

    def _change(self, **changes: Any) -> None:
        self._set(replace(self.state, **changes))

    def _set(self, state: StorageState) -> None:
        if state != self.state:
            self.state = state
            self.changed.emit()


def saved_of(rows: Sequence[ModelRow], now: float) -> Saved:
    """Add up what deltas saved; every byte can be traced to a delta."""
    here = datetime.fromtimestamp(now)
    first = datetime(here.year, here.month, 1).timestamp() * 1e9
    parts = [(row, row.saved_bytes or 0) for row in rows if row.saved_bytes]
    families: defaultdict[str, int] = defaultdict(int)
    for row, saved in parts:
        families[row.family] += saved
    return Saved(
        total=sum(saved for _, saved in parts),
        this_month=sum(saved for row, saved in parts if row.modified_ns >= first),
        by_family=tuple(sorted(families.items(), key=lambda item: -item[1])),
        parts=tuple((row.name, saved) for row, saved in sorted(parts, key=lambda item: -item[1])),
    )
