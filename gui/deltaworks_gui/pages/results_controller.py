"""The rules of the Results page: which sweeps there are, which points are chosen."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot

from deltaworks.errors import AppError
from deltaworks.progress import JobControl
from deltaworks.recipes.documents import dump_recipe
from deltaworks.recipes.schema import CompressRecipe, ModelRef, Setting
from deltaworks.studies.trials import Sweep, Trial, reference_from_json, trial_from_json
from deltaworks_gui.context import AppContext
from deltaworks_gui.formats import format_percent, format_size
from deltaworks_gui.lanes.jobs import ENDED, Job, JobState
from deltaworks_gui.models.trials import Key
from deltaworks_gui.payloads import LibraryChoice
from deltaworks_gui.plots.choice import PlotChoice

log = logging.getLogger(__name__)

RECORD = "sweep.json"


@dataclass(frozen=True, slots=True)
class ResultsState:
    """What the page shows.

    Args:
        is_loading: records are being read for the first time.
        sweeps: all, newest first.
        shown: ids of the sweeps on the plot.
        selected: chosen points.
        choice: axes and filters of the plot.
    """

    is_loading: bool = True
    sweeps: tuple[Sweep, ...] = ()
    shown: tuple[str, ...] = ()
    selected: tuple[Key, ...] = ()
    choice: PlotChoice = field(default_factory=PlotChoice)


class ResultsController(QObject):
    """Follows running sweeps by their events and finished ones by their records.

    Signals:
        changed: ``state`` is another.
    """

    changed = Signal()

    def __init__(self, context: AppContext, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.state = ResultsState()
        self._of_job: dict[str, str] = {}
        self._pending: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
        self._unseen: set[str] = set()
        self._is_seen = False
        context.queue.measured.connect(self._on_measured)
        context.queue.job_ended.connect(self._on_job_ended)
        context.navigator.banner_acted.connect(self._on_acted)

    def start(self) -> None:
        """Read the records that are on disk."""
        folder = self._context.home.sweeps
        self._context.tasks.start(
            lambda control: read_records(folder, control),
            succeeded=self._on_records,
            failed=self._on_failed,
        )

    # What is shown

    @property
    def shown(self) -> list[Sweep]:
        """The sweeps on the plot."""
        return [sweep for sweep in self.state.sweeps if sweep.id in self.state.shown]

    def sweep(self, sweep_id: str) -> Sweep | None:
        """One sweep; None when there is none of that id."""
        return next((one for one in self.state.sweeps if one.id == sweep_id), None)

    def trial(self, key: Key) -> Trial | None:
        """One trial; None when it is not there."""
        sweep = self.sweep(key[0])
        if sweep is None:
            return None
        return next((one for one in sweep.trials if one.number == key[1]), None)

    @property
    def selected(self) -> list[Trial]:
        """The chosen trials."""
        return [one for key in self.state.selected if (one := self.trial(key)) is not None]

    def show_sweeps(self, ids: Sequence[str]) -> None:
        """Put these sweeps on the plot."""
        selected = tuple(key for key in self.state.selected if key[0] in ids)
        self._change(shown=tuple(ids), selected=selected)

    def show_job(self, job_id: str) -> None:
        """Put a job's sweep on the plot, as soon as it has begun."""
        if (known := self._of_job.get(job_id)) is not None:
            self.show_sweeps([known])

    def select(self, keys: Sequence[Key]) -> None:
        """Choose these points."""
        if tuple(keys) != self.state.selected:
            self._change(selected=tuple(keys))
            self._context.navigator.selection_changed.emit()

    def choose(self, **changes: Any) -> None:
        """Another axis, line or filter."""
        self._change(choice=replace(self.state.choice, **changes))

    def seen(self, is_seen: bool) -> None:
        """The page is in front, or no longer; its badge counts what ended unseen."""
        self._is_seen = is_seen
        if is_seen:
            self._unseen.clear()
            self._badge()

    # What can be done to a point

    def why_no_keep(self) -> str:
        """Why the chosen delta cannot be kept; empty when it can."""
        trials = self.selected
        if len(trials) != 1:
            return self.tr("Select one point first.")
        if trials[0].state != "done":
            return self.tr("This trial did not finish.")
        if trials[0].kept:
            return self.tr("This delta is kept already.")
        return ""

    def keep(self) -> None:
        """Make the delta of the chosen trial again; its settings give the same file."""
        key, trial = self.state.selected[0], self.selected[0]
        sweep = self.sweep(key[0])
        assert sweep is not None
        name = f"{trial.expert}--{trial.method}--{trial.number}.delta.safetensors"
        recipe = CompressRecipe(
            base=ModelRef(path=sweep.base_path, name=sweep.base),
            experts=(ModelRef(path=trial.expert_path, name=trial.expert),),
            settings=(Setting(method=trial.method, options=trial.options),),
            scope=sweep.recipe.get("scope", "linear2d"),
            seed=sweep.recipe.get("seed", 0),
            output=str(self._context.home.sweeps / sweep.id / name),
        )
        title = self.tr("Keep {0} · {1}").format(trial.expert, trial.title)
        self._context.queue.submit(title, dump_recipe(recipe))

    def show_artefact(self, trial: Trial) -> None:
        """Go to a kept delta's row in the Library."""
        self._context.navigator.show_page("Library", LibraryChoice((trial.artefact,)))

    # What came in

    @Slot(object)
    def _on_records(self, records: list[Sweep]) -> None:
        live = {sweep.id for sweep in self.state.sweeps}
        sweeps = [*self.state.sweeps, *(one for one in records if one.id not in live)]
        sweeps.sort(key=lambda sweep: sweep.created, reverse=True)
        shown = self.state.shown or tuple(sweep.id for sweep in sweeps[:1])
        self._change(is_loading=False, sweeps=tuple(sweeps), shown=shown)

    @Slot(object)
    def _on_failed(self, error: AppError) -> None:
        self._change(is_loading=False)
        self._context.navigator.banner("bad", str(error), key="results", stays=True)

    @Slot(object, object, object)
    def _on_measured(self, job_id: str, subject: str, values: Mapping[str, Any]) -> None:
        if subject == "sweep":
            self._put(job_id, Sweep.from_json(values))
        elif (sweep := self.sweep(self._of_job.get(job_id, ""))) is None:
            return
        elif subject == "trial":
            self._replace(_with_trial(sweep, trial_from_json(values)))
        elif subject == "reference":
            fresh = reference_from_json(values)
            others = [
                one for one in sweep.references if (one.id, one.expert) != (fresh.id, fresh.expert)
            ]
            self._replace(replace(sweep, references=(*others, fresh)))

    def _put(self, job_id: str, sweep: Sweep) -> None:
        """A sweep that begins is shown at once; one that ended takes its own place."""
        is_new = self.sweep(sweep.id) is None
        self._of_job[job_id] = sweep.id
        if is_new:
            sweeps = (sweep, *self.state.sweeps)
            self._change(is_loading=False, sweeps=sweeps, shown=(sweep.id,), selected=())
        else:
            self._replace(sweep)

    def _replace(self, sweep: Sweep) -> None:
        sweeps = tuple(sweep if one.id == sweep.id else one for one in self.state.sweeps)
        self._change(sweeps=sweeps)

    @Slot(object)
    def _on_job_ended(self, job: Job) -> None:
        if job.recipe.get("kind") != "sweep":
            return
        sweep = self._final(job)
        if sweep is None:
            return
        if job.state in (JobState.SUCCEEDED, JobState.WARNED):
            self._announce(sweep)
        if not self._is_seen:
            self._unseen.add(sweep.id)
            self._badge()

    def _final(self, job: Job) -> Sweep | None:
        """The sweep as it ended: from the report, else what is known with its state."""
        values = (job.report or {}).get("results", {}).get("sweep")
        if values:
            self._put(job.id, Sweep.from_json(values))
        sweep = self.sweep(self._of_job.get(job.id, ""))
        if sweep is not None and not values and job.state in ENDED:
            is_stopped = job.state is JobState.CANCELLED
            word = "cancelled" if is_stopped else "failed"
            trials = tuple(_ended(trial, is_stopped, job.error) for trial in sweep.trials)
            sweep = replace(sweep, state=word, trials=trials)
            self._replace(sweep)
        return sweep

    def _announce(self, sweep: Sweep) -> None:
        best = next((trial for trial in sweep.trials if trial.recommended), None)
        if best is None:
            return
        small, full = format_size(best.file_bytes), format_size(best.original_bytes)
        if best.quality is not None and best.measured_on:
            kept = format_percent(best.quality)
            text = self.tr("Done: {0} instead of {1}, {2} of quality kept").format(
                small, full, kept
            )
        else:
            kept = format_percent(best.fidelity)
            text = self.tr(
                "Done: {0} instead of {1}, about {2} of the weights' change kept"
            ).format(small, full, kept)
        actions = [("show-delta", self.tr("Show delta"))] if best.artefact else []
        self._select_best(sweep, best)
        self._context.navigator.banner("good", text, actions, key=f"sweep:{sweep.id}", stays=True)

    def _select_best(self, sweep: Sweep, best: Trial) -> None:
        if sweep.id in self.state.shown and not self.state.selected:
            self.select([(sweep.id, best.number)])

    @Slot(object, object)
    def _on_acted(self, key: str, action: str) -> None:
        kind, _, sweep_id = str(key).partition(":")
        sweep = self.sweep(sweep_id)
        if kind != "sweep" or action != "show-delta" or sweep is None:
            return
        best = next((trial for trial in sweep.trials if trial.recommended), None)
        if best is not None:
            self.show_artefact(best)

    def _badge(self) -> None:
        count = len(self._unseen)
        meaning = self.tr("{0} finished sweeps not yet seen").format(count)
        self._context.navigator.badge("Results", count, meaning if count else "")

    def _change(self, **changes: Any) -> None:
        state = replace(self.state, **changes)
        if state != self.state:
            self.state = state
            self.changed.emit()


def read_records(folder: Path, control: JobControl) -> list[Sweep]:
    """Read every sweep's record; one that cannot be read is logged and left out."""
    found = []
    for path in sorted(folder.glob(f"*/{RECORD}")):
        control.check()
        try:
            found.append(Sweep.from_json(json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s: not a readable record of a sweep (%s)", path, error)
    return found


def _with_trial(sweep: Sweep, fresh: Trial) -> Sweep:
    trials = tuple(fresh if one.number == fresh.number else one for one in sweep.trials)
    return replace(sweep, trials=trials)


def _ended(trial: Trial, is_stopped: bool, error: str) -> Trial:
    if trial.state in ("done", "failed"):
        return trial
    return replace(trial, state="cancelled" if is_stopped else "failed", reason=error)
