"""The Playground's rules: who is asked, in which order, and what may be loaded."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot

from deltaworks.errors import AppError
from deltaworks.library.rows import ModelRow
from deltaworks_gui.context import AppContext
from deltaworks_gui.docks.subjects import models_subject
from deltaworks_gui.lanes.engines import Engine, ProcessEngine
from deltaworks_gui.lanes.jobs import Job, JobState
from deltaworks_gui.lanes.lane import LaneSpec
from deltaworks_gui.lanes.queue import JobQueue
from deltaworks_gui.pages.playground_state import (
    LEAST,
    MOST,
    Pane,
    PlaygroundState,
    ask_recipe,
    askable,
    first_choice,
    head_of,
)

_LANE = "playground"


class PlaygroundController(QObject):
    """Asks through an engine of its own, so that a model stays in memory between prompts.

    Args:
        context: what all pages share.
        make_engine: makes that engine when the first prompt is sent.

    Signals:
        changed: ``state`` is another one.
        told: (pane number, piece of text) of an answer that is being written.
    """

    changed = Signal()
    told = Signal(object, object)

    def __init__(
        self,
        context: AppContext,
        make_engine: Callable[[], Engine] = ProcessEngine,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._context = context
        self._make_engine = make_engine
        self._queue: JobQueue | None = None
        self._asked: dict[str, int] = {}
        self._agreed: set[int] = set()
        self._wanted: tuple[str, ...] = ()
        self._is_in_front = False
        self.state = PlaygroundState()
        context.navigator.library_changed.connect(self.load)

    # Models

    def show_in_front(self, is_in_front: bool) -> None:
        """Read the library when the page comes to the front."""
        self._is_in_front = is_in_front
        if is_in_front:
            self.load()

    @Slot()
    def load(self) -> None:
        """Read which models can be asked."""
        if self._is_in_front:
            library = self._context.library
            self._context.tasks.start(
                lambda _control: library.rows(), succeeded=self._on_rows, failed=self._on_failed
            )

    def want(self, paths: Sequence[str]) -> None:
        """Put these models in the panes as soon as they are listed."""
        self._wanted = tuple(paths)
        self._take_wanted()

    def choose_base(self, base: ModelRow) -> None:
        """Start with a base and what descends from it."""
        self._put(first_choice(self.state.rows, base))

    def choose(self, number: int, model: int) -> None:
        """Let another model answer in a pane."""
        if self.state.panes[number].model != model:
            self._set_pane(number, Pane(model=model))

    def add_pane(self) -> None:
        """One more answer beside the others."""
        if len(self.state.panes) < MOST:
            self._change(panes=(*self.state.panes, Pane(model=self.state.panes[-1].model)))

    def remove_pane(self) -> None:
        """One answer fewer."""
        if len(self.state.panes) > LEAST and not self.state.is_busy:
            self._change(panes=self.state.panes[:-1])

    # Asking

    def set_options(self, **options: Any) -> None:
        """Change seed, temperature, length or prompt."""
        self._change(**options)

    def why_not(self) -> str:
        """Why nothing can be sent; empty when it can."""
        if self.state.is_busy:
            return self.tr("Wait for the answers, or stop them.")
        if all(pane.model is None for pane in self.state.panes):
            return self.tr("Choose a model first.")
        return "" if self.state.prompt.strip() else self.tr("Write a prompt first.")

    @Slot()
    def send(self) -> None:
        """Ask every pane's model the same."""
        if self.why_not():
            return
        for number in range(len(self.state.panes)):
            self._ask(number)

    def agree(self, number: int) -> None:
        """Load the other base that a pane needs."""
        row = self.state.row(self.state.panes[number])
        if row is not None:
            self._agreed.add(head_of(row))
            self._ask(number)

    @Slot()
    def stop(self) -> None:
        """Leave every answer as it is."""
        for job_id in list(self._asked):
            if self._queue is not None:
                self._queue.cancel(job_id)

    def _ask(self, number: int) -> None:
        pane = self.state.panes[number]
        row = self.state.row(pane)
        if row is None:
            return
        head = head_of(row)
        if self.state.held not in (None, head) and head not in self._agreed:
            self._set_pane(number, Pane(model=pane.model, state="asks"))
            return
        base = next((one for one in self.state.rows if one.id == row.family_id), None)
        if self.state.held is None:
            self._change(held=head)
        self._set_pane(number, Pane(model=pane.model, state="waiting"))
        queue = self._started()
        job = queue.submit(row.name, ask_recipe(self.state, row, base), _LANE)
        self._asked[job.id] = number
        self._on_job(job)

    def base_bytes(self, number: int) -> int:
        """What loading the other base of a pane would take."""
        row = self.state.row(self.state.panes[number])
        base = next((one for one in self.state.rows if row and one.id == head_of(row)), row)
        return base.size_bytes if base is not None else 0

    def _started(self) -> JobQueue:
        if self._queue is None:
            spec = LaneSpec(_LANE, self.tr("Playground"), self._make_engine)
            self._queue = JobQueue([spec], None, parent=self)
            self._queue.measured.connect(self._on_measured)
            self._queue.job_changed.connect(self._on_job)
            self._queue.job_ended.connect(self._on_ended)
        return self._queue

    def end(self) -> bool:
        """Let the model go and end the engine; False when its thread did not end."""
        queue, self._queue = self._queue, None
        return queue is None or queue.shutdown()

    # Blind

    def set_blind(self, is_blind: bool) -> None:
        """Hide names and shuffle panes, or reveal them."""
        panes = list(self.state.panes)
        if is_blind and not self.state.is_busy:
            random.shuffle(panes)
        self._change(is_blind=is_blind, panes=tuple(panes))

    # What came back

    @Slot(object)
    def _on_rows(self, rows: list[ModelRow]) -> None:
        found = askable(rows)
        listed = {row.id for row in found}
        panes = tuple(
            pane if pane.model in listed or pane.is_busy else Pane() for pane in self.state.panes
        )
        self._change(rows=found, panes=panes)
        self._take_wanted()

    def _take_wanted(self) -> None:
        found = [row.id for path in self._wanted for row in self.state.rows if row.path == path]
        if found:
            self._wanted = ()
            first = next(row for row in self.state.rows if row.id == found[0])
            base = next((row for row in self.state.rows if row.id == first.family_id), None)
            others = [base.id] if base is not None and base.id not in found else []
            self._put((*others, *found))

    def _put(self, models: Sequence[int]) -> None:
        panes = tuple(Pane(model=one) for one in models[:MOST])
        self._change(panes=panes + tuple(Pane() for _ in range(LEAST - len(panes))))

    @Slot(object, object, object)
    def _on_measured(self, job_id: object, subject: object, values: dict[str, Any]) -> None:
        number = self._asked.get(str(job_id))
        if number is None:
            return
        pane = self.state.panes[number]
        if subject == "loaded":
            row = self.state.row(pane)
            if row is not None:
                self._change(held=head_of(row))
            how, seconds = str(values["how"]), float(values["load_seconds"])
            self._set_pane(number, replace(pane, state="writing", how=how, load_seconds=seconds))
        elif subject == "text":
            piece = str(values["text"])
            self._set_pane(number, replace(pane, state="writing", text=pane.text + piece))
            self.told.emit(number, piece)

    @Slot(object)
    def _on_job(self, job: Job) -> None:
        number = self._asked.get(job.id)
        if number is not None and job.state in {JobState.PREPARING, JobState.RUNNING}:
            pane = self.state.panes[number]
            if pane.state == "waiting":
                self._set_pane(number, replace(pane, state="loading"))

    @Slot(object)
    def _on_ended(self, job: Job) -> None:
        number = self._asked.pop(job.id, None)
        if number is None:
            return
        pane = self.state.panes[number]
        report = job.report or {}
        found = report.get("results", {}).get("generation")
        if found is not None:
            pane = replace(
                pane,
                state="done",
                text=str(found["text"]),
                seconds_per_token=float(found["seconds_per_token"]),
                memory_bytes=int(found["memory_bytes"]),
            )
        elif job.state is JobState.CANCELLED:
            pane = replace(pane, state="stopped")
        else:
            pane = replace(pane, state="failed", error=job.error or job.stage)
            self._change(held=None)
        self._set_pane(number, pane)

    @Slot(object)
    def _on_failed(self, error: AppError) -> None:
        self._context.navigator.banner("bad", str(error), key="playground", stays=True)

    # Small things

    def inspect(self, number: int) -> None:
        """Tell the Inspector about a pane's model, unless names are hidden."""
        row = self.state.row(self.state.panes[number])
        if row is not None and not self.state.is_blind:
            self._context.navigator.inspect(models_subject([row]))

    def _set_pane(self, number: int, pane: Pane) -> None:
        panes = list(self.state.panes)
        panes[number] = pane
        self._change(panes=tuple(panes))

    def _change(self, **changes: Any) -> None:
        state = replace(self.state, **changes)
        if state != self.state:
            self.state = state
            self.changed.emit()
