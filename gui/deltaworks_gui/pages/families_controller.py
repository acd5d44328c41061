"""The Families page's state and rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot

from deltaworks.errors import AppError
from deltaworks.library.pedigree import Branch, Kin, forest
from deltaworks.library.relations import Relation
from deltaworks.library.rows import USABLE, ModelRow
from deltaworks.progress import Event, JobControl, Progress
from deltaworks_gui.context import AppContext
from deltaworks_gui.docks.subjects import models_subject
from deltaworks_gui.lanes.tasks import Task
from deltaworks_gui.models.families import is_proposal
from deltaworks_gui.payloads import (
    WorkbenchInputs,
    repair_inputs,
    why_not_usable,
    workbench_inputs,
)
from deltaworks_gui.undo import Act

_TUNED = frozenset({"Expert", "Repaired"})


@dataclass(frozen=True, slots=True)
class FamiliesState:
    """What the page shows.

    Args:
        is_loading: the index has not been read yet.
        busy: what is under way; empty when nothing is.
        branches: the families.
        selected: ids of the selected models.
    """

    is_loading: bool = True
    busy: str = ""
    branches: tuple[Branch, ...] = ()
    selected: tuple[int, ...] = ()


class FamiliesController(QObject):
    """Reads families, and says to the library what the user says of them.

    Signals:
        changed: ``state`` is another one.
    """

    changed = Signal()

    def __init__(self, context: AppContext, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._rows: dict[int, ModelRow] = {}
        self._kin: dict[int, Kin] = {}
        self._relations: list[Relation] = []
        self._work: Task | None = None
        self._is_in_front = False
        self._is_stale = False
        self.state = FamiliesState()
        context.navigator.library_changed.connect(self._on_library_changed)

    # Reading

    def show_in_front(self, is_in_front: bool) -> None:
        """Read again what changed while another page was in front."""
        self._is_in_front = is_in_front
        if is_in_front:
            if self._is_stale or self.state.is_loading:
                self.load()
            self._inspect()

    def load(self) -> None:
        """Read models and relations from the index."""
        self._is_stale = False
        library = self._context.library
        self._task(lambda _c: (library.rows(), library.kin(), library.relations()), self._on_read)

    @Slot()
    def find(self) -> None:
        """Compare headers, then sampled weights, of everything that is listed."""
        if self._work is not None:
            return
        library = self._context.library
        self._change(busy=self.tr("Finding relations: reads headers and 8,192 numbers of a model"))
        self._work = self._context.tasks.start(
            library.relate,
            succeeded=self._on_found,
            failed=self._on_failed,
            reported=self._on_progress,
        )
        self._work.ended.connect(self._on_ended)

    @Slot()
    def stop(self) -> None:
        """Leave it at what was found."""
        if self._work is not None:
            self._work.cancel()

    # What is selected

    def select(self, ids: Sequence[int]) -> None:
        """Remember the selection and tell the Inspector."""
        chosen = tuple(dict.fromkeys(ids))
        if chosen == self.state.selected:
            return
        self._change(selected=chosen)
        self._inspect()
        self._context.navigator.selection_changed.emit()

    @property
    def selected(self) -> list[ModelRow]:
        """The selected models."""
        return [self._rows[one] for one in self.state.selected if one in self._rows]

    @property
    def rows(self) -> list[ModelRow]:
        """Every listed model."""
        return list(self._rows.values())

    @property
    def proposals(self) -> list[int]:
        """Ids of selected models whose relation is a proposal."""
        return [one for one in self.state.selected if is_proposal(self._kin.get(one))]

    @property
    def related(self) -> list[int]:
        """Ids of selected models that stand under another."""
        known = {relation.model for relation in self._relations}
        return [one for one in self.state.selected if one in known]

    # What the user says

    @Slot()
    def confirm(self) -> None:
        """Take the selected proposals as true."""
        if ids := self.proposals:
            library = self._context.library
            self._push(self.tr("confirm a relation"), ids, lambda: library.confirm(ids))

    @Slot()
    def reject(self) -> None:
        """Drop the selected relations; they are not proposed again."""
        if ids := self.related:
            library = self._context.library
            self._push(self.tr("reject a relation"), ids, lambda: library.reject(ids))

    def set_base(self, base: ModelRow) -> None:
        """Say what the selected models descend from."""
        ids = [one for one in self.state.selected if one != base.id]
        if ids:
            library = self._context.library
            self._push(self.tr("set the base"), ids, lambda: library.set_base(ids, base.id))

    def why_not_usable(self) -> str:
        """Why the selection cannot be a job's input; empty when it can."""
        return why_not_usable(self.selected)

    def inputs(self, operation: str) -> WorkbenchInputs:
        """The selection as base and experts of an operation."""
        if operation == "repair":
            return repair_inputs(self.selected, list(self.rows))
        return workbench_inputs(self.selected, self._rows.get, operation)

    def family(self) -> tuple[ModelRow | None, list[ModelRow]]:
        """The base and usable experts of the family that the selection belongs to."""
        heads = {row.family_id or row.id for row in self.selected}
        if not heads and len(self.state.branches) == 1:
            heads = {self.state.branches[0].row.id}
        if len(heads) != 1:
            return None, []
        base = self._rows.get(heads.pop())
        if base is None:
            return None, []
        members = (row for row in self._rows.values() if row.family_id == base.id)
        tuned = [
            row for row in members if row.role in _TUNED and row.state in USABLE and row != base
        ]
        return base, sorted(tuned, key=lambda row: row.name.casefold())

    def _push(self, text: str, ids: Sequence[int], say: Any) -> None:
        library, wanted = self._context.library, set(ids)
        before: list[Relation] = []

        def remember_and_say(_control: JobControl) -> None:
            before[:] = [one for one in library.relations() if one.model in wanted]
            say()

        def do() -> None:
            self._task(remember_and_say, self._on_said)

        def undo() -> None:
            self._task(lambda _control: library.put_back(ids, before), self._on_said)

        self._context.undo.push(Act(text, do, undo))

    # What came back

    @Slot(object)
    def _on_read(self, found: tuple[list[ModelRow], list[Kin], list[Relation]]) -> None:
        rows, kin, self._relations = found
        self._rows = {row.id: row for row in rows}
        self._kin = {one.model: one for one in kin}
        branches = tuple(forest(rows, kin))
        listed = {branch.row.id for branch in walk(branches)}
        selected = tuple(one for one in self.state.selected if one in listed)
        self._change(is_loading=False, branches=branches, selected=selected)
        self._inspect()

    @Slot(object)
    def _on_said(self, _rows: object) -> None:
        self.load()
        self._tell()

    @Slot(object)
    def _on_found(self, rows: list[ModelRow]) -> None:
        if rows:
            text = self.tr("Relations found or changed: {0} models").format(len(rows))
        else:
            text = self.tr("No relation is new.")
        self._context.navigator.status(text)
        self.load()
        self._tell()

    @Slot()
    def _on_ended(self) -> None:
        self._work = None
        self._change(busy="")

    @Slot(object)
    def _on_progress(self, event: Event) -> None:
        if isinstance(event, Progress) and event.total and self._work is not None:
            share = 100 * event.done // event.total
            self._change(busy=self.tr("Finding relations: {0} %").format(share))

    @Slot(object)
    def _on_failed(self, error: AppError) -> None:
        self._change(is_loading=False)
        self._context.navigator.banner("bad", str(error), key="families", stays=True)

    @Slot()
    def _on_library_changed(self) -> None:
        if self._is_in_front:
            self.load()
        else:
            self._is_stale = True

    # Small things

    def _tell(self) -> None:
        """Other pages show relations too; this one has read them already."""
        in_front, self._is_in_front = self._is_in_front, False
        self._context.navigator.library_changed.emit()
        self._is_in_front, self._is_stale = in_front, False

    def _inspect(self) -> None:
        if self._is_in_front:
            self._context.navigator.inspect(models_subject(self.selected))

    def _task(self, work: Any, done: Any) -> Task:
        return self._context.tasks.start(work, succeeded=done, failed=self._on_failed)

    def _change(self, **changes: Any) -> None:
        state = replace(self.state, **changes)
        if state != self.state:
            self.state = state
            self.changed.emit()


def walk(branches: Sequence[Branch]) -> Iterator[Branch]:
    """Every branch, parents before children."""
    for branch in branches:
        yield branch
        yield from walk(branch.children)
