"""The rules of the Results page: which sweeps there are, which points are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot

from deltaworks.errors import AppError
from deltaworks.recipes.documents import dump_recipe
from deltaworks.recipes.schema import Recipe
from deltaworks.studies.contest_record import Contest, Entry
from deltaworks.studies.trials import Sweep, Trial, reference_from_json, trial_from_json
from deltaworks_gui.context import AppContext
from deltaworks_gui.formats import format_percent, format_size
from deltaworks_gui.lanes.jobs import ENDED, SWEEPS, Job, JobState
from deltaworks_gui.models.trials import Key
from deltaworks_gui.pages.results_contests import (
    as_sweep,
    merge_again,
    read_contests,
    stopped,
    why_no_merge,
    with_entry,
    with_news,
    write_contest,
)
from deltaworks_gui.pages.results_records import keep_recipe, read_records, write_record
from deltaworks_gui.payloads import LibraryChoice
from deltaworks_gui.plots.choice import PlotChoice, filtered
from deltaworks_gui.plots.contest_words import winner_text

_GOOD = (JobState.SUCCEEDED, JobState.WARNED)


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
        self._contests: dict[str, Contest] = {}
        self._of_job: dict[str, str] = {}
        self._keeping: dict[str, Key] = {}
        self._wanted_job = ""
        self._unseen: set[str] = set()
        self._is_seen = False
        context.queue.measured.connect(self._on_measured)
        context.queue.job_ended.connect(self._on_job_ended)
        context.navigator.banner_acted.connect(self._on_acted)

    def start(self) -> None:
        """Read the records that are on disk."""
        folder = self._context.home.sweeps
        self._context.tasks.start(
            lambda control: (read_records(folder, control), read_contests(folder, control)),
            succeeded=self._on_records,
            failed=self._on_failed,
        )

    # What is shown

    @property
    def shown(self) -> list[Sweep]:
        """The sweeps on the plot."""
        return [sweep for sweep in self.state.sweeps if sweep.id in self.state.shown]

    @property
    def visible(self) -> list[Sweep]:
        """The sweeps on the plot without what the filters leave out."""
        return filtered(self.shown, self.state.choice)

    @property
    def contest(self) -> Contest | None:
        """The comparison of merges that is shown; None when sweeps are."""
        return next(
            (self._contests[one] for one in self.state.shown if one in self._contests), None
        )

    @property
    def entry(self) -> Entry | None:
        """The chosen merge of the comparison that is shown."""
        contest = self.contest
        if contest is None or len(self.state.selected) != 1:
            return None
        chosen = self.state.selected[0]
        return next((one for one in contest.entries if (contest.id, one.number) == chosen), None)

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
        self._wanted_job = job_id
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
            if self.contest is not None:
                return self.tr("Select one merge first.")
            return self.tr("Select one point first.")
        if trials[0].state != "done":
            return self.tr("This trial did not finish.")
        if trials[0].kept:
            if self.contest is not None:
                return self.tr("This merge is kept already.")
            return self.tr("This delta is kept already.")
        if self.contest is not None and self.entry is not None:
            why = why_no_merge(self.contest, self.entry)
            if why:
                return why
        if self.state.selected[0] in self._keeping.values():
            return self.tr("This delta is being made.")
        return ""

    @Slot()
    def keep(self) -> None:
        """Make the delta of the chosen trial again; its settings give the same file."""
        if self.why_no_keep():
            return
        key, trial = self.state.selected[0], self.selected[0]
        sweep = self.sweep(key[0])
        assert sweep is not None
        title = self.tr("Keep {0} · {1}").format(trial.expert, trial.title)
        recipe: Recipe
        if self.contest is not None and self.entry is not None:
            recipe = merge_again(self.contest, self.entry)
        else:
            recipe = keep_recipe(sweep, trial, self._context.home.sweeps)
        job = self._context.queue.submit(title, dump_recipe(recipe))
        self._keeping[job.id] = key
        self.changed.emit()

    def _kept(self, job: Job) -> None:
        """A delta was made again, or it was not."""
        key = self._keeping.pop(job.id)
        sweep, trial = self.sweep(key[0]), self.trial(key)
        made = (job.report or {}).get("artefacts", ())
        if job.state in _GOOD and made and sweep is not None and trial is not None:
            kept = replace(trial, kept=True, artefact=str(made[0]["path"]))
            self._keep_record(_with_trial(sweep, kept), kept)
            name = f"{trial.title} {trial.settings}".strip()
            self._context.navigator.status(self.tr("Kept: {0}").format(name))
        self.changed.emit()

    def _keep_record(self, fresh: Sweep, kept: Trial) -> None:
        """Say on disk as well that a result was kept."""
        contest = self._contests.get(fresh.id)
        if contest is not None:
            entry = next(one for one in contest.entries if one.number == kept.number)
            known = with_entry(contest, replace(entry, artefact=kept.artefact))
            self._take_contest(known)
            self._context.tasks.start(lambda _control: write_contest(known), failed=self._on_failed)
            return
        self._replace(fresh)
        folder = self._context.home.sweeps
        self._context.tasks.start(
            lambda _control: write_record(fresh, folder), failed=self._on_failed
        )

    def show_artefact(self, trial: Trial) -> None:
        """Go to a kept delta's row in the Library."""
        self._context.navigator.show_page("Library", LibraryChoice((trial.artefact,)))

    # What came in

    @Slot(object)
    def _on_records(self, found: tuple[list[Sweep], list[Contest]]) -> None:
        live = {sweep.id for sweep in self.state.sweeps}
        contests = [one for one in found[1] if one.id not in live]
        self._contests |= {one.id: one for one in contests}
        records = [*found[0], *(as_sweep(one) for one in contests)]
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
        elif subject == "contest":
            self._put_contest(job_id, Contest.from_json(values))
        elif (contest := self._contests.get(self._of_job.get(job_id, ""))) is not None:
            self._take_contest(with_news(contest, subject, values))
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
        """A sweep that begins is shown; one that ended takes its own place."""
        self._of_job[job_id] = sweep.id
        if self.sweep(sweep.id) is not None:
            self._replace(sweep)
            return
        changes: dict[str, Any] = {"sweeps": (sweep, *self.state.sweeps), "is_loading": False}
        # Whoever looks at another sweep keeps it, unless they asked for this one.
        if job_id == self._wanted_job or not self.state.shown or not self._is_seen:
            changes |= {"shown": (sweep.id,), "selected": ()}
        self._change(**changes)

    def _put_contest(self, job_id: str, contest: Contest) -> None:
        self._contests[contest.id] = contest
        self._put(job_id, as_sweep(contest))
        self.changed.emit()

    def _take_contest(self, contest: Contest) -> None:
        """A comparison that changed; what lists know of it may be the same as before."""
        self._contests[contest.id] = contest
        self._replace(as_sweep(contest))
        self.changed.emit()

    def _replace(self, sweep: Sweep) -> None:
        sweeps = tuple(sweep if one.id == sweep.id else one for one in self.state.sweeps)
        self._change(sweeps=sweeps)

    @Slot(object)
    def _on_job_ended(self, job: Job) -> None:
        if job.id in self._keeping:
            self._kept(job)
        if job.recipe.get("kind") not in SWEEPS:
            return
        sweep = self._final(job)
        if sweep is None:
            return
        if job.state in _GOOD:
            self._announce(sweep)
        if not self._is_seen and job.state is not JobState.CANCELLED:
            self._unseen.add(sweep.id)
            self._badge()

    def _final(self, job: Job) -> Sweep | None:
        """The sweep as it ended: from the report, else what is known with its state."""
        results = (job.report or {}).get("results", {})
        values = results.get("sweep") or results.get("contest")
        if values and "sweep" in results:
            self._put(job.id, Sweep.from_json(values))
        elif values:
            self._put_contest(job.id, Contest.from_json(values))
        sweep = self.sweep(self._of_job.get(job.id, ""))
        if sweep is not None and not values and job.state in ENDED:
            is_stopped = job.state is JobState.CANCELLED
            word = "cancelled" if is_stopped else "failed"
            trials = tuple(_ended(trial, is_stopped, job.error) for trial in sweep.trials)
            sweep = replace(sweep, state=word, trials=trials)
            contest = self._contests.get(sweep.id)
            if contest is not None:
                self._contests[sweep.id] = stopped(contest, word, job.error)
            self._replace(sweep)
        return sweep

    def _announce(self, sweep: Sweep) -> None:
        best = [trial for trial in sweep.trials if trial.recommended]
        if not best:
            return
        contest = self._contests.get(sweep.id)
        word = self.tr("Show delta") if contest is None else self.tr("Show model")
        actions = [("show-delta", word)] if any(t.artefact for t in best) else []
        self._select_best(sweep, best)
        text, key = self._done_text(best), f"sweep:{sweep.id}"
        stays = True
        if contest is not None:  # the page says it too, where it is in sight
            text = winner_text(contest)
            stays = not self._is_seen or contest.id not in self.state.shown
        self._context.navigator.banner("good", text, actions, key=key, stays=stays)

    def _done_text(self, best: Sequence[Trial]) -> str:
        """The sum over all experts' recommended deltas, and the least of their qualities."""
        if "refusal" in best[0].measures:
            measures = best[0].measures
            return self.tr("Done: {0} {1} refuses {2} and keeps {3} of the skill").format(
                best[0].title,
                best[0].settings,
                format_percent(measures["refusal"]["value"]),
                format_percent(measures["utility"]["value"]),
            )
        small = format_size(sum(trial.file_bytes for trial in best))
        full = format_size(sum(trial.original_bytes for trial in best))
        qualities = [trial.quality for trial in best if trial.quality is not None]
        if len(qualities) == len(best) and all(trial.measured_on for trial in best):
            kept = format_percent(min(qualities))
            if len(best) > 1:
                kept = self.tr("at least {0}").format(kept)
            return self.tr("Done: {0} instead of {1}, {2} of quality kept").format(
                small, full, kept
            )
        shares = [t.fidelity if t.quality is None else t.quality for t in best]
        kept = format_percent(min((one for one in shares if one is not None), default=None))
        text = self.tr("Done: {0} instead of {1}, about {2} of the weights' change kept")
        return text.format(small, full, kept)

    def _select_best(self, sweep: Sweep, best: Sequence[Trial]) -> None:
        if sweep.id in self.state.shown and not self.state.selected:
            self.select([(sweep.id, best[0].number)])

    @Slot(object, object)
    def _on_acted(self, key: str, action: str) -> None:
        kind, _, sweep_id = str(key).partition(":")
        sweep = self.sweep(sweep_id)
        if kind != "sweep" or action != "show-delta" or sweep is None:
            return
        kept = [trial.artefact for trial in sweep.trials if trial.recommended and trial.artefact]
        self._context.navigator.show_page("Library", LibraryChoice(tuple(kept)))

    def _badge(self) -> None:
        count = len(self._unseen)
        meaning = self.tr("{0} finished sweeps not yet seen").format(count)
        self._context.navigator.badge("Results", count, meaning if count else "")

    def _change(self, **changes: Any) -> None:
        state = replace(self.state, **changes)
        if state != self.state:
            self.state = state
            self.changed.emit()


def _with_trial(sweep: Sweep, fresh: Trial) -> Sweep:
    trials = tuple(fresh if one.number == fresh.number else one for one in sweep.trials)
    return replace(sweep, trials=trials)


def _ended(trial: Trial, is_stopped: bool, error: str) -> Trial:
    if trial.state in ("done", "failed"):
        return trial
    return replace(trial, state="cancelled" if is_stopped else "failed", reason=error)
