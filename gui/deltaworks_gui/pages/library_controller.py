"""The Library's rules: what is listed, what is being read, what is selected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from deltaworks.errors import AppError
from deltaworks.library.demo import DemoSet, unpack_demo
from deltaworks.library.library import Sizes
from deltaworks.library.rows import ModelRow
from deltaworks.library.search import parse_query
from deltaworks.progress import JobControl
from deltaworks_gui.context import AppContext
from deltaworks_gui.docks.subjects import models_subject
from deltaworks_gui.lanes.tasks import Task
from deltaworks_gui.models.library import LibraryFilter, LibraryModel
from deltaworks_gui.models.library_entry import USABLE
from deltaworks_resources import demo_folder

FILTER_MS = 150
"""From the last key to the filter."""


@dataclass(frozen=True, slots=True)
class LibraryState:
    """What the page shows around its table.

    Args:
        is_loading: the index is being read for the first time.
        total: listed models; ``shown`` of them pass the filter.
        sizes: disk use of all.
        selected: ids of the selected models.
        scanning: what is being read now; empty when nothing is.
        query: the search text; ``hint`` says what of it was not understood.
        fault: why a folder could not be read; ``faulty_root`` which.
    """

    is_loading: bool = True
    total: int = 0
    shown: int = 0
    sizes: Sizes = field(default_factory=lambda: Sizes(0, 0, 0, 0))
    selected: tuple[int, ...] = ()
    scanning: str = ""
    query: str = ""
    hint: str = ""
    fault: str = ""
    faulty_root: str = ""


class LibraryController(QObject):
    """Reads the library beside the window and keeps the table's model true.

    Signals:
        changed: ``state`` is another.
        demo_ready: a DemoSet that is unpacked, listed and related.
    """

    changed = Signal()
    demo_ready = Signal(object)
    _found = Signal(object)

    def __init__(self, context: AppContext, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.model = LibraryModel(self)
        self.filter = LibraryFilter(self.model, self)
        self.state = LibraryState()
        self._scan: Task | None = None
        self._scan_again = False
        self._demo: DemoSet | None = None
        self._is_telling = False
        self._delay = QTimer(self, singleShot=True, interval=FILTER_MS)
        self._delay.timeout.connect(self._apply_query)
        self._found.connect(self._on_rows, Qt.ConnectionType.QueuedConnection)
        context.navigator.paths_added.connect(self.add_paths)
        context.navigator.library_changed.connect(self._on_library_changed)

    # Reading

    def start(self) -> None:
        """Show what the index knows, then look at the disk."""
        self._task(lambda _control: self._context.library.rows(), self._on_loaded)

    def rescan(self) -> None:
        """Look at every watched folder again; once more at the end if one is under way."""
        if self._scan is not None:
            self._scan_again = True
            return
        self._change(scanning=self.tr("Scanning…"), fault="", faulty_root="")
        self._scan = self._task(self._read_disk, self._on_scanned, self._on_scan_failed)
        self._scan.stopped.connect(self._on_scan_stopped)

    def stop_scan(self) -> None:
        """Leave it at what was found."""
        self._scan_again = False
        if self._scan is not None:
            self._scan.cancel()

    @Slot(object)
    def add_paths(self, paths: Iterable[Path | str]) -> None:
        """Watch folders; for a file, the folder it lies in."""
        folders = [Path(path) for path in paths]
        roots = [path if path.is_dir() else path.parent for path in folders]
        self._task(lambda _control: self._add_roots(roots), self._on_roots_added)

    @Slot()
    def try_demo(self) -> None:
        """Unpack the bundled models and list them."""
        self._change(scanning=self.tr("Unpacking the demo…"))
        self._task(self._unpack, self._on_unpacked, self._on_scan_failed)

    # What the user says of models

    def select(self, ids: Sequence[int]) -> None:
        """Remember the selection and tell the Inspector."""
        if tuple(ids) == self.state.selected:
            return
        self._change(selected=tuple(ids))
        self._context.navigator.inspect(models_subject(self.selected))
        self._context.navigator.selection_changed.emit()

    @property
    def selected(self) -> list[ModelRow]:
        """The selected models."""
        found = (self.model.row_by_id(one) for one in self.state.selected)
        return [row for row in found if row is not None]

    def why_not_usable(self) -> str:
        """Why the selection cannot be a job's input; empty when it can."""
        rows = self.selected
        if not rows:
            return self.tr("Select a model first.")
        broken = next((row for row in rows if row.state not in USABLE), None)
        if broken is None:
            return ""
        return self.tr("{0} is {1}.").format(broken.name, broken.state.value.lower())

    def inputs(self) -> tuple[ModelRow | None, list[ModelRow]]:
        """The selection as base and experts; the experts' own base when none is selected."""
        rows = [row for row in self.selected if row.state in USABLE]
        bases = [row for row in rows if row.role == "Base"]
        experts = [row for row in rows if row not in bases]
        if not bases:
            families = {row.family_id for row in experts if row.family_id is not None}
            bases = [row for one in families if (row := self.model.row_by_id(one)) is not None]
        return (bases[0] if len(bases) == 1 else None), experts

    def search(self, text: str) -> None:
        """Filter a moment after the last key."""
        self._change(query=text)
        self._delay.start()

    def rename(self, model_id: int, name: str) -> None:
        """Show a model under another name."""
        library = self._context.library
        self._task(lambda _control: [library.rename(model_id, name)], self._on_rows)

    def set_role(self, role: str) -> None:
        """Correct the role of the selected models."""
        library, ids = self._context.library, self.state.selected
        self._task(lambda _control: library.set_role(ids, role), self._on_rows)

    def forget(self) -> None:
        """Take the selected models off the list; files stay."""
        library, ids = self._context.library, self.state.selected
        names = ", ".join(row.name for row in self.selected)
        self.model.remove(ids)
        self.select(())
        self._count()
        self._task(lambda _control: library.forget(ids), None)
        self._context.navigator.status(self.tr("Removed from the list: {0}").format(names))

    def remove_root(self, path: str) -> None:
        """Stop watching a folder; no file is touched."""
        library = self._context.library
        self._change(fault="", faulty_root="")
        self._task(lambda _control: library.remove_root(path), self._on_root_removed)

    def verify(self) -> None:
        """Read every byte of the selected models."""
        rows = self.selected
        bases = {row.id: self.model.row_by_id(row.family_id or 0) for row in rows}
        self._context.navigator.status(self.tr("Verifying…"))
        self._task(lambda control: _verify(rows, bases, control), self._on_verified)

    # Beside the window's thread

    def _add_roots(self, roots: Iterable[Path]) -> list[str]:
        return [self._context.library.add_root(root).path for root in dict.fromkeys(roots)]

    def _read_disk(self, control: JobControl) -> None:
        library = self._context.library
        library.scan(control, self._found.emit)
        self._found.emit(library.relate(control))
        self._found.emit(library.hash_contents(control))

    def _unpack(self, _control: JobControl) -> DemoSet:
        made = unpack_demo(demo_folder(), self._context.home.store / "demo")
        self._context.library.add_root(made.root)
        return made

    # What came back

    @Slot(object)
    def _on_loaded(self, rows: list[ModelRow]) -> None:
        self.model.upsert(rows)
        self._change(is_loading=False)
        self._count()
        if rows or self._context.library.roots():
            self.rescan()

    @Slot(object)
    def _on_rows(self, rows: Iterable[ModelRow | None]) -> None:
        self.model.upsert(row for row in rows if row is not None)
        if self.state.scanning and self._scan is not None:
            text = self.tr("Scanning: {0} models").format(self.model.rowCount())
            self._change(scanning=text)
        self._apply_query()
        if self.state.selected:
            self._context.navigator.inspect(models_subject(self.selected))

    @Slot(object)
    def _on_roots_added(self, _roots: object) -> None:
        self.rescan()

    @Slot(object)
    def _on_root_removed(self, ids: list[int]) -> None:
        self.model.remove(ids)
        self._count()
        self._tell()

    @Slot(object)
    def _on_scanned(self, _nothing: object) -> None:
        self._end_scan()
        library = self._context.library
        bad = next((root for root in library.roots() if root.reason), None)
        if bad is not None:
            self._change(fault=bad.reason, faulty_root=bad.path)
        if self._demo is not None:
            made, self._demo = self._demo, None
            self.demo_ready.emit(made)

    @Slot(object)
    def _on_scan_failed(self, error: AppError) -> None:
        self._end_scan()
        self._context.navigator.banner("bad", str(error), key="scan", stays=True)

    @Slot()
    def _on_scan_stopped(self) -> None:
        self._end_scan()

    def _end_scan(self) -> None:
        self._scan = None
        self._change(scanning="")
        self._count()
        self._tell()
        if self._scan_again:
            self._scan_again = False
            self.rescan()

    @Slot(object)
    def _on_unpacked(self, made: DemoSet) -> None:
        self._demo = made
        self.rescan()

    @Slot(object)
    def _on_verified(self, faults: list[str]) -> None:
        if faults:
            self._context.navigator.banner("bad", faults[0], key="verify", stays=True)
        else:
            self._context.navigator.status(self.tr("Verified: every file is sound."))
        self.rescan()

    @Slot()
    def _on_library_changed(self) -> None:
        """Others entered something; what this class changed is shown already."""
        if not self._is_telling:
            self._task(lambda _control: self._context.library.rows(), self._on_reloaded)

    @Slot(object)
    def _on_reloaded(self, rows: list[ModelRow]) -> None:
        listed = {row.id for row in rows}
        self.model.remove(row.id for row in self.model.rows if row.id not in listed)
        self._on_rows(rows)
        self._count()

    def _tell(self) -> None:
        self._is_telling = True
        self._context.navigator.library_changed.emit()
        self._is_telling = False

    # Small things

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


def _verify(
    rows: Sequence[ModelRow], bases: dict[int, ModelRow | None], control: JobControl
) -> list[str]:
    from deltaworks.checkpoints import verify_checkpoint

    faults: list[str] = []
    for row in rows:
        base = bases[row.id]
        faults += verify_checkpoint(row.path, control, base=base.path if base else None)
    return faults
