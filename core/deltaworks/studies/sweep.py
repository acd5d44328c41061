"""A sweep: compress with several settings, measure each, keep the good ones.

Expert by expert: every tensor is read once for all settings, then each delta file is
measured. Files are made in a working folder inside the output and get their final
names at the end, so that a sweep that is stopped leaves nothing. One that is killed leaves
that folder and its journal, from which a later run goes on.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine.compress import try_compress
from deltaworks.engine.environment import versions
from deltaworks.engine.plan_types import Plan
from deltaworks.engine.reports import Artefact, Report
from deltaworks.errors import AppError, CancelledError
from deltaworks.progress import Event, JobControl, Measured, Progress, Warned
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name
from deltaworks.recipes.schema import SweepRecipe
from deltaworks.studies import front
from deltaworks.studies.measuring import Measurer, make_measurer
from deltaworks.studies.sweep_journal import SweepJournal, move_back
from deltaworks.studies.sweep_pace import Clock, Ladder
from deltaworks.studies.sweep_plan import (
    SWEEP_FILE,
    compress_recipe,
    expert_names,
    first_trials,
    plan_sweep,
)
from deltaworks.studies.trial_facts import quality_facts, size_facts
from deltaworks.studies.trials import Reference, Sweep, Trial

if TYPE_CHECKING:
    from deltaworks.checkpoints.checkpoint import Checkpoint
    from deltaworks.evaluation import Suite

log = logging.getLogger(__name__)


def run_sweep(recipe: SweepRecipe, control: JobControl, *, resume: bool = False) -> Report:
    """Run every trial, choose the front and the recommended one, keep what was asked for.

    A trial that fails does not stop the others.

    Args:
        recipe: what to try.
        control: of whoever started it.
        resume: take over the trials that a run of this recipe that was killed has finished.

    Raises:
        CancelledError: nothing is left behind.
        AppError: the sweep cannot start, or every trial failed.
    """
    if resume:
        move_back(recipe)
    plan = plan_sweep(recipe)
    with ExitStack() as open_files:
        base = open_files.enter_context(open_checkpoint(recipe.base.path))
        experts = [
            open_files.enter_context(open_checkpoint(ref.path, base=base)) for ref in recipe.experts
        ]
        folder = Path(recipe.output)
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        journal = SweepJournal(recipe, [base, *experts], resume=resume)
        return _Running(recipe, control, plan, journal).run(base, experts, made)


class _Running:
    """One sweep while it runs."""

    def __init__(
        self, recipe: SweepRecipe, control: JobControl, plan: Plan, journal: SweepJournal
    ) -> None:
        now = datetime.now(UTC)
        self._recipe, self._control = recipe, control
        self._output = Path(recipe.output)
        self._id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        self._created = now.isoformat(timespec="seconds")
        self._journal = journal
        self._names = expert_names(recipe)
        self._trials = first_trials(recipe)
        self._references: list[Reference] = []
        self._artefacts: dict[int, Artefact] = {}
        self._warnings: list[str] = []
        self._rule = ""
        self._state = "running"
        self._seconds: dict[str, float] = {}
        self._peak = 0
        self._progress = Ladder(plan, len(self._names), has_data=bool(recipe.evaluation))

    def run(self, base: Checkpoint, experts: Sequence[Checkpoint], made: list[Path]) -> Report:
        """Run it all.

        Args:
            base: open.
            experts: likewise, in the order of the recipe.
            made: folders to be taken away again when nothing comes of it.
        """
        started = time.perf_counter()
        self._say("sweep", self._sweep().as_json())
        try:
            self._journal.folder.mkdir(exist_ok=True)
            if self._journal.warning:
                self._watching().report(Warned(self._journal.warning))
            self._run_experts(base, experts)
            self._choose()
            self._check_any()
            kept = self._keep()
        except BaseException as error:
            self._give_up(error, made)
            raise
        self._seconds["total"] = time.perf_counter() - started
        self._control.report(self._progress.at_end())
        self._say("sweep", self._sweep().as_json())
        return self._report(kept)

    # --- trials -----------------------------------------------------------------------------

    def _run_experts(self, base: Checkpoint, experts: Sequence[Checkpoint]) -> None:
        suite = self._suite()
        measurer: Measurer | None = None
        for place, (name, expert) in enumerate(zip(self._names, experts, strict=True)):
            measurer = self._run_expert(place, name, base, expert, suite, measurer)

    def _suite(self) -> Suite | None:
        if not self._recipe.evaluation:
            return None
        from deltaworks.evaluation import load_suite

        return load_suite(self._recipe.evaluation)

    def _run_expert(
        self,
        place: int,
        name: str,
        base: Checkpoint,
        expert: Checkpoint,
        suite: Suite | None,
        before: Measurer | None,
    ) -> Measurer | None:
        numbers = self._numbers(place)
        self._compress(place, numbers, expert)
        waiting = [number for number in numbers if number in self._artefacts]
        known = self._journal.references(name)
        left = [number for number in waiting if not self._take_over(number)]
        if not left and (known or not waiting):
            self._refer(known)
            return before
        with Clock(self._seconds, "measuring"):
            self._at(self._progress.references(place), f"measuring {name} and its base")
            measurer = make_measurer(
                base,
                expert,
                name,
                suite,
                self._watching(),
                device=self._recipe.device,
                like=before,
            )
            lines = measurer.references()
            self._refer(lines)
            if not known:
                self._journal.add_references(name, lines)
            for step, number in enumerate(waiting):
                if number in left:
                    self._measure(number, base, measurer, self._progress.trial(place, step))
        self._at(self._progress.end(place), name)
        return measurer

    def _refer(self, lines: Sequence[Reference]) -> None:
        for reference in lines:
            self._references.append(reference)
            self._say("reference", reference.as_json())

    def _take_over(self, number: int) -> bool:
        """Count a trial as done that an earlier run has measured."""
        trial = self._journal.trial(self._trials[number].number)
        if trial is None:
            return False
        self._trials[number] = trial
        self._say("trial", trial.as_json())
        return True

    def _numbers(self, place: int) -> list[int]:
        """Places of an expert's trials in the list."""
        n_settings = len(self._recipe.settings)
        return list(range(place * n_settings, (place + 1) * n_settings))

    def _compress(self, place: int, numbers: list[int], expert: Checkpoint) -> None:
        recipe = compress_recipe(self._recipe, self._journal.folder, place)
        prefix = f"expert {place + 1}/{len(self._names)}" if len(self._names) > 1 else ""
        part = self._watching().part(self._progress.start(place), self._progress.total, prefix)
        try:
            with Clock(self._seconds, "compressing"):
                report, results = try_compress(recipe, part, resume=True)
        except CancelledError:
            raise
        except AppError as error:
            for number in numbers:
                self._fail(number, error)
            return
        self._peak = max(self._peak, report.peak_bytes)
        for number, result in zip(numbers, results, strict=True):
            if isinstance(result, Artefact):
                self._artefacts[number] = result
                self._change(number, **size_facts(result, expert), peak_bytes=report.peak_bytes)
            else:
                self._fail(number, result)

    def _measure(self, number: int, base: Checkpoint, measurer: Measurer, done: int) -> None:
        trial = self._trials[number]
        self._change(number, state="running")
        self._at(done, f"trial {trial.number}/{len(self._trials)} · {trial.title}")
        started = time.perf_counter()
        try:
            with open_checkpoint(self._artefacts[number].path, base=base) as result:
                outcome = measurer.measure(result, self._watching())
        except CancelledError:
            raise
        except Exception as error:
            self._fail(number, error)
            return
        seconds = self._artefacts[number].seconds + time.perf_counter() - started
        self._change(
            number, state="done", seconds=round(seconds, 3), **quality_facts(trial, outcome)
        )
        self._journal.add(self._trials[number], Path(self._artefacts[number].path))

    def _fail(self, number: int, error: BaseException) -> None:
        reason = str(error)
        if not isinstance(error, AppError):
            log.error("trial %s failed", self._trials[number].number, exc_info=error)
            reason = f"Internal error: {error}. See the log."
        artefact = self._artefacts.pop(number, None)
        if artefact is not None:
            Path(artefact.path).unlink(missing_ok=True)
        self._change(number, state="failed", reason=reason)

    # --- the end ----------------------------------------------------------------------------

    def _choose(self) -> None:
        """Mark each expert's front and recommended trial.

        Expert by expert, because the delta of one does not stand in for that of another.
        """
        rules = [self._choose_for(self._numbers(place)) for place in range(len(self._names))]
        self._rule = "; ".join(dict.fromkeys(rule for rule in rules if rule))

    def _choose_for(self, numbers: list[int]) -> str:
        """Mark one expert's; give the rule in words."""
        done = [
            number
            for number in numbers
            if self._trials[number].state == "done" and self._trials[number].quality is not None
        ]
        points = [
            (float(self._trials[number].file_bytes), self._trials[number].quality or 0.0)
            for number in done
        ]
        chosen = front.recommend(points, self._recipe.max_loss)
        flags = front.pareto_front(points)
        for place, (number, on_front) in enumerate(zip(done, flags, strict=True)):
            self._trials[number] = replace(
                self._trials[number], on_front=on_front, recommended=place == chosen
            )
        return front.rule(points, self._recipe.max_loss)

    def _check_any(self) -> None:
        if any(trial.state == "done" for trial in self._trials):
            return
        raise AppError(
            f"every trial failed, the first one because: {self._trials[0].reason}",
            where=self._recipe.title or str(self._output),
        )

    def _keep(self) -> list[Artefact]:
        """Give kept files their final place, drop the others, write the record."""
        kept = []
        for number, artefact in self._artefacts.items():
            if not self._is_kept(self._trials[number]):
                continue
            target = self._output / Path(artefact.path).name
            Path(artefact.path).rename(target)
            kept.append(replace(artefact, path=str(target)))
            self._trials[number] = replace(self._trials[number], kept=True, artefact=str(target))
        self._state = "done"
        _write_json(self._output / SWEEP_FILE, self._sweep().as_json())
        self._journal.remove()
        for trial in self._trials:
            self._say("trial", trial.as_json())
        return kept

    def _is_kept(self, trial: Trial) -> bool:
        match self._recipe.keep:
            case "none":
                return False
            case "all":
                return True
            case "front":
                return trial.on_front or trial.recommended
            case "best":
                return trial.recommended

    def _give_up(self, error: BaseException, made: list[Path]) -> None:
        """Leave nothing behind, and say in which state the trials are."""
        for trial in self._trials:
            if trial.artefact:
                Path(trial.artefact).unlink(missing_ok=True)
        self._journal.remove()
        (self._output / SWEEP_FILE).unlink(missing_ok=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        is_cancelled = isinstance(error, CancelledError)
        self._state = "cancelled" if is_cancelled else "failed"
        self._trials = [
            replace(trial, artefact="", kept=False, state="cancelled")
            if trial.state in {"waiting", "running"}
            else replace(trial, artefact="", kept=False)
            for trial in self._trials
        ]
        self._say("sweep", self._sweep().as_json())

    # --- words ------------------------------------------------------------------------------

    def _change(self, number: int, **facts: Any) -> None:
        self._trials[number] = replace(self._trials[number], **facts)
        self._say("trial", self._trials[number].as_json())

    def _say(self, subject: str, values: dict[str, Any]) -> None:
        self._control.report(Measured(subject, values))

    def _at(self, done: int, stage: str) -> None:
        self._control.step(Progress(done, self._progress.total, stage))

    def _watching(self) -> JobControl:
        """Give the job's control, which also writes warnings down."""

        def report(event: Event) -> None:
            if isinstance(event, Warned):
                self._warnings.append(f"{event.where}: {event.text}" if event.where else event.text)
            self._control.report(event)

        return self._control.reporting_to(report)

    def _sweep(self) -> Sweep:
        recipe = self._recipe
        return Sweep(
            id=self._id,
            title=recipe.title or f"{display_name(recipe.base.path, recipe.base.name)} sweep",
            created=self._created,
            base=display_name(recipe.base.path, recipe.base.name),
            base_path=recipe.base.path,
            trials=tuple(self._trials),
            references=tuple(self._references),
            state=self._state,
            rule=self._rule,
            recipe=dump_recipe(recipe),
        )

    def _report(self, kept: list[Artefact]) -> Report:
        return Report(
            job="sweep",
            recipe=dump_recipe(self._recipe),
            artefacts=tuple(kept),
            seconds={name: round(value, 4) for name, value in self._seconds.items()},
            peak_bytes=self._peak,
            warnings=tuple(dict.fromkeys(self._warnings)),
            versions=versions(),
            results={"sweep": self._sweep().as_json()},
        )


def _write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a record under a temporary name first."""
    partial = path.with_name(f"{path.name}.partial-{secrets.token_hex(3)}")
    partial.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
