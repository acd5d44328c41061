"""The Library's rules: what is listed, what is being read, what is selected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from deltaworks.errors import AppError
from deltaworks.library.demo import DemoSet
from deltaworks.library.dependents import dependents, refusal
from deltaworks.library.library import Sizes
from deltaworks.library.rows import ModelRow
from deltaworks.library.search import parse_query
from deltaworks.library.volumes import RootRow
from deltaworks.progress import Event, Progress
from deltaworks_gui.context import AppContext
from deltaworks_gui.docks.subjects import models_subject
from deltaworks_gui.lanes.tasks import Task
from deltaworks_gui.models.library import LibraryFilter, LibraryModel
from deltaworks_gui.pages.library_verify import verify
from deltaworks_gui.pages.library_work import add_roots, read_disk, unpack
from deltaworks_gui.payloads import (
    WorkbenchInputs,
    repair_inputs,
    why_not_usable,
    workbench_inputs,
)
from deltaworks_gui.trashing import Going, Trasher, going_of

FILTER_MS = 150
"""From the last key to the filter."""
_FORGET = "library-forget"


@dataclass(frozen=True, slots=True)
class LibraryState:
    """What the page shows around its table.

    Args:
        is_loading: the index is being read for the first time.
        total: listed models; ``shown`` of them pass the filter.
        sizes: disk use of all.
        selected: ids of the selected models.
        busy: what is being read now, for people; empty when nothing is.
        query: the search text; ``hint`` says what of it was not understood.
        fault: why a folder could not be read; ``faulty_root`` which.
    """

    is_loading: bool = True
    total: int = 0
    shown: int = 0
    sizes: Sizes = field(default_factory=lambda: Sizes(0, 0, 0, 0))
    selected: tuple[int, ...] = ()
    busy: str = ""
    query: str = ""
    hint: str = ""
    fault: str = ""
    faulty_root: str = ""


class LibraryController(QObject):
    """Reads the library beside the window and keeps the table's model true.

    Signals:
        changed: ``state`` is another.
        demo_ready: a DemoSet that is unpacked, listed and related.
        refused: (why a model cannot go, paths of the deltas that need it).
    """

    changed = Signal()
    demo_ready = Signal(object)
    refused = Signal(object, object)
    _found = Signal(object)

    def __init__(self, context: AppContext, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.model = LibraryModel(self)
        self.filter = LibraryFilter(self.model, self)
        self.trasher = Trasher(context, self)
        self.state = LibraryState(is_loading=not context.library.is_new)
        self._work: Task | None = None
        self._scan_again = False
        self._reload_after = False
        self._demo: DemoSet | None = None
        self._forgotten: tuple[int, ...] = ()
        self._is_in_front = False
        self._is_telling = False
        self._delay = QTimer(self, singleShot=True, interval=FILTER_MS)
        self._delay.timeout.connect(self._apply_query)
        self._found.connect(self._on_rows, Qt.ConnectionType.QueuedConnection)
        context.navigator.paths_added.connect(self.add_paths)
        context.navigator.library_changed.connect(self._on_library_changed)
        context.navigator.banner_acted.connect(self._on_acted)

    # Reading

    def start(self) -> None:
        """Show what the index knows, then look at the disk."""
        library = self._context.library
        self._task(lambda _control: (library.rows(), library.roots()), self._on_loaded)

    def rescan(self) -> None:
        """Look at every watched folder again; once more at the end if work is under way."""
        if self._work is not None:
            self._scan_again = True
            return
        library, tell = self._context.library, self._found.emit
        self._change(fault="", faulty_root="")
        self._begin(
            self.tr("Scanning…"),
            lambda control: read_disk(library, control, tell),
            self._on_scanned,
            self._on_progress,
        )

    def stop(self) -> None:
        """Leave it at what was found."""
        self._scan_again = False
        if self._work is not None:
            self._work.cancel()

    @Slot(object)
    def add_paths(self, paths: Iterable[Path | str]) -> None:
        """Watch folders; of a file, the model that it belongs to."""
        library, places = self._context.library, [Path(path) for path in paths]
        self._task(lambda _control: add_roots(library, places), self._on_roots_added)

    @Slot()
    def try_demo(self) -> None:
        """Unpack the bundled models and list them."""
        if self._work is not None:
            self._work.cancel()
        context = self._context
        self._begin(
            self.tr("Unpacking the demo…"),
            lambda control: unpack(context.library, context.home, control),
            self._on_unpacked,
        )

    # What the user says of models

    def show_in_front(self, is_in_front: bool) -> None:
        """The Inspector is about these models while the page is in front."""
        self._is_in_front = is_in_front
        if is_in_front:
            self._inspect()

    def select(self, ids: Sequence[int]) -> None:
        """Remember the selection and tell the Inspector."""
        if tuple(ids) == self.state.selected:
            return
        self._change(selected=tuple(ids))
        self._inspect()
        self._context.navigator.selection_changed.emit()

    @property
    def selected(self) -> list[ModelRow]:
        """The selected models."""
        found = (self.model.row_by_id(one) for one in self.state.selected)
        return [row for row in found if row is not None]

    def why_not_usable(self) -> str:
        """Why the selection cannot be a job's input; empty when it can."""
        return why_not_usable(self.selected)

    def inputs(self, operation: str) -> WorkbenchInputs:
        """The selection as base and experts of an operation."""
        if operation == "repair":
            return repair_inputs(self.selected, list(self.model.rows))
        return workbench_inputs(self.selected, self.model.row_by_id, operation)

    def search(self, text: str) -> None:
        """Filter a moment after the last key; at once when the text is gone."""
        self._change(query=text)
        if text.strip():
            self._delay.start()
        else:
            self._delay.stop()
            self._apply_query()

    @Slot(object, object)
    def rename(self, model_id: int, name: str) -> None:
        """Show a model under another name."""
        library = self._context.library
        self._task(lambda _control: [library.rename(model_id, name)], self._on_renamed)

    def set_role(self, role: str) -> None:
        """Correct the role of the selected models."""
        library, ids = self._context.library, self.state.selected
        self._task(lambda _control: library.set_role(ids, role), self._on_renamed)

    def forget(self) -> None:
        """Take the selected models off the list; files stay. Not a base that deltas need."""
        rows = self.selected
        if self._is_refused(rows):
            return
        ids = tuple(row.id for row in rows)
        library = self._context.library
        self.model.remove(ids)
        self.select(())
        self._count()
        self._forgotten = ids
        self._task(lambda _control: library.forget(ids), self._on_forgotten, self._on_undone)
        who = rows[0].name if len(rows) == 1 else self.tr("{0} models").format(len(rows))
        text = self.tr("Removed from the list: {0}. The files are still there.").format(who)
        self._context.navigator.banner("info", text, [("undo", self.tr("Undo"))], key=_FORGET)

    def _is_refused(self, rows: Sequence[ModelRow]) -> bool:
        """Say so where deltas that stay need one of these models."""
        needing = dependents(rows, self.model.rows)
        if needing:
            self.refused.emit(refusal(rows, needing), [row.path for row in needing])
        return bool(needing)

    def going(self) -> list[Going]:
        """The selected models' files, for the dialog; none where they are needed."""
        rows = self.selected
        return [] if self._is_refused(rows) else [going_of(row) for row in rows]

    @Slot()
    def trash(self) -> None:
        """Move the selected models' files to the trash."""
        going = [going_of(row) for row in self.selected]
        self.select(())
        self.trasher.take(going)

    def remove_root(self, path: str) -> None:
        """Stop watching a folder; no file is touched."""
        library = self._context.library
        self._change(fault="", faulty_root="")
        self._task(lambda _control: library.remove_root(path), self._on_root_removed)

    def verify(self) -> None:
        """Read every byte of the selected models."""
        if self._work is not None:
            self._context.navigator.status(self.tr("Wait until the scan has ended."))
            return
        pairs = [(row, self.model.row_by_id(row.family_id or 0)) for row in self.selected]
        self._begin(
            self.tr("Verifying…"),
            lambda control: verify(pairs, control),
            self._on_verified,
            self._on_progress,
        )

    # What came back

    @Slot(object)
    def _on_loaded(self, found: tuple[list[ModelRow], list[RootRow]]) -> None:
        rows, roots = found
        self.model.upsert(rows)
        self._change(is_loading=False)
        self._count()
        if rows or roots:
            self.rescan()

    @Slot(object)
    def _on_progress(self, event: Event) -> None:
        if not isinstance(event, Progress) or self._work is None:
            return
        if event.total:
            share = 100 * event.done // event.total
            self._change(busy=self.tr("Verifying: {0} %").format(share))
        else:
            self._change(busy=self.tr("Scanning {0}").format(event.stage))

    @Slot(object)
    def _on_rows(self, rows: Sequence[ModelRow | None]) -> None:
        listed = [row for row in rows if row is not None]
        self.model.upsert(listed)
        self._apply_query()
        if any(row.id in self.state.selected for row in listed):
            self._inspect()

    @Slot(object)
    def _on_renamed(self, rows: Sequence[ModelRow | None]) -> None:
        self._on_rows(rows)
        self._tell()

    @Slot(object)
    def _on_roots_added(self, _roots: object) -> None:
        self.rescan()

    @Slot(object)
    def _on_root_removed(self, ids: list[int]) -> None:
        self.model.remove(ids)
        self._count()
        self._tell()

    @Slot(object)
    def _on_forgotten(self, _nothing: object) -> None:
        self._tell()

    @Slot(object)
    def _on_undone(self, error: AppError) -> None:
        self._on_failed(error)
        self._reload()

    @Slot(object, object)
    def _on_acted(self, key: object, action: object) -> None:
        library, ids = self._context.library, self._forgotten
        if key == _FORGET and action == "undo" and ids:
            self._forgotten = ()
            self._task(lambda _control: library.remember(ids), self._on_remembered)

    @Slot(object)
    def _on_remembered(self, rows: list[ModelRow]) -> None:
        self._on_rows(rows)
        self._count()
        self._tell()

    @Slot(object)
    def _on_scanned(self, roots: list[RootRow]) -> None:
        is_last = not self._scan_again
        self._end_work()
        if not is_last:
            return
        self._report_roots(roots)
        if self._demo is not None:
            made, self._demo = self._demo, None
            self.demo_ready.emit(made)

    def _report_roots(self, roots: list[RootRow]) -> None:
        say = self._context.navigator
        bad = next((root for root in roots if root.reason), None)
        if bad is not None:
            self._change(fault=bad.reason, faulty_root=bad.path)
            if self.state.total:
                say.status(self.tr("Cannot read {0}: {1}").format(bad.path, bad.reason))
        elif roots and not self.state.total:
            text = self.tr("No models found in {0}").format(", ".join(one.path for one in roots))
            say.banner("info", text, key="scan")

    @Slot(object)
    def _on_unpacked(self, made: DemoSet) -> None:
        self._demo = made
        self._scan_again = True
        self._end_work()

    @Slot(object)
    def _on_verified(self, faults: list[str]) -> None:
        say = self._context.navigator
        if faults:
            more = self.tr(" (and {0} more)").format(len(faults) - 1) * (len(faults) > 1)
            say.banner("bad", faults[0] + more, key="verify", stays=True)
        else:
            say.status(self.tr("Verified: every file is sound."))
        self._scan_again = True
        self._end_work()

    @Slot(object)
    def _on_work_failed(self, error: AppError) -> None:
        self._demo = None
        self._end_work()
        self._context.navigator.banner("bad", str(error), key="scan", stays=True)

    @Slot()
    def _on_stopped(self) -> None:
        if self.sender() is self._work:
            self._demo = None
            self._end_work()

    def _begin(self, words: str, work: Any, done: Any, reported: Any = None) -> None:
        """One piece of long work at a time; the strip says what it does."""
        self._change(busy=words)
        start = self._context.tasks.start
        self._work = start(work, succeeded=done, failed=self._on_work_failed, reported=reported)
        self._work.stopped.connect(self._on_stopped, Qt.ConnectionType.QueuedConnection)

    def _end_work(self) -> None:
        self._work = None
        self._change(busy="")
        self._count()
        self._tell()
        if self._scan_again:
            self._scan_again = False
            self.rescan()
        elif self._reload_after:
            self._reload_after = False
            self._reload()

    @Slot()
    def _on_library_changed(self) -> None:
        """Others entered something; what this class changed is shown already."""
        if not self._is_telling:
            self._reload()

    def _reload(self) -> None:
        self._task(lambda _control: self._context.library.rows(), self._on_reloaded)

    @Slot(object)
    def _on_reloaded(self, rows: list[ModelRow]) -> None:
        listed = {row.id for row in rows}
        if self._work is None:
            self.model.remove(row.id for row in self.model.rows if row.id not in listed)
        else:  # rows that were found since would be lost
            self._reload_after = True
        self._on_rows(rows)
        self._count()

    def _tell(self) -> None:
        self._is_telling = True
        self._context.navigator.library_changed.emit()
        self._is_telling = False

    # Small things

    def _inspect(self) -> None:
        if self._is_in_front:
            self._context.navigator.inspect(models_subject(self.selected))

    @Slot()
    def _apply_query(self) -> None:
        query = parse_query(self.state.query)
        if self.state.query.strip():
            accepted = frozenset(row.id for row in self.model.rows if query(row))
            self.filter.accept(accepted)
            shown = len(accepted)
        else:
            self.filter.accept(None)
            shown = self.model.rowCount()
        self._change(shown=shown, total=self.model.rowCount(), hint=query.hint)

    def _count(self) -> None:
        self._apply_query()
        self._task(lambda _control: self._context.library.sizes(), self._on_sizes)

    @Slot(object)
    def _on_sizes(self, sizes: Sizes) -> None:
        self._change(sizes=sizes)

    @Slot(object)
    def _on_failed(self, error: AppError) -> None:
        self._change(is_loading=False)
        self._context.navigator.banner("bad", str(error), key="library", stays=True)

    def _task(self, work: Any, done: Any, failed: Any = None) -> Task:
        return self._context.tasks.start(work, succeeded=done, failed=failed or self._on_failed)

    def _change(self, **changes: Any) -> None:
        state = replace(self.state, **changes)
        if state != self.state:
            self.state = state
            self.changed.emit()
