"""Safety against utility: repair with several settings, measure each, pick one.

Statistics of texts and factors of Gram matrices are made once, in a cache that all
settings share; a setting then only selects, compensates and writes. Models are made in a
working folder and the kept ones moved, so that a sweep that is stopped leaves nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deltaworks.checkpoints import open_checkpoint
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.engine import run
from deltaworks.engine.environment import versions
from deltaworks.engine.plan_types import Plan
from deltaworks.engine.reports import Artefact, Report
from deltaworks.errors import AppError, CancelledError
from deltaworks.evaluation.measures import Measure
from deltaworks.progress import Event, JobControl, Measured, Progress, Warned
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name
from deltaworks.recipes.schema import RepairSweepRecipe
from deltaworks.studies import safety_pick
from deltaworks.studies.safety_measuring import (
    PROXY,
    DataMeasurer,
    check_measuring,
    proxy_measures,
    proxy_references,
)
from deltaworks.studies.safety_plan import (
    SWEEP_FILE,
    first_repairs,
    model_name,
    plan_repair_sweep,
    repair_recipe,
)
from deltaworks.studies.sweep_pace import Clock
from deltaworks.studies.trials import Reference, Sweep, Trial

log = logging.getLogger(__name__)


def run_repair_sweep(recipe: RepairSweepRecipe, control: JobControl) -> Report:
    """Run every repair, mark the front and the pick, keep what was asked for.

    A repair that fails does not stop the others.

    Raises:
        CancelledError: nothing is left behind.
        AppError: the sweep cannot start, or every repair failed.
    """
    return _Running(recipe, control, plan_repair_sweep(recipe)).run()


class _Running:
    """One sweep while it runs."""

    def __init__(self, recipe: RepairSweepRecipe, control: JobControl, plan: Plan) -> None:
        check_measuring(recipe)
        now = datetime.now(UTC)
        self._recipe, self._control = recipe, control
        self._output = Path(recipe.output)
        self._id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        self._created = now.isoformat(timespec="seconds")
        self._work = self._output / f"sweep.partial-{self._id}"
        self._cache = recipe.cache or str(self._work / "statistics")
        self._name = display_name(recipe.tuned.path, recipe.tuned.name)
        self._trials = first_repairs(recipe)
        self._each = max(1, plan.work_bytes // len(self._trials))
        self._references: list[Reference] = []
        self._artefacts: dict[int, Artefact] = {}
        self._facts: dict[int, dict[str, Any]] = {}
        self._warnings: list[str] = []
        self._seconds: dict[str, float] = {}
        self._peak = 0
        self._rule, self._state = "", "running"

    def run(self) -> Report:
        """Do all of it."""
        started = time.perf_counter()
        self._say("sweep", self._sweep().as_json())
        made = [path for path in (self._output, *self._output.parents) if not path.exists()]
        try:
            self._work.mkdir(parents=True)
            with ExitStack() as open_files:
                self._run_all(open_files)
            self._choose()
            kept = self._keep()
        except BaseException as error:
            self._give_up(error, made)
            raise
        self._seconds["total"] = time.perf_counter() - started
        total = self._each * len(self._trials)
        self._control.report(Progress(total, total, "done"))
        self._say("sweep", self._sweep().as_json())
        return self._report(kept)

    # --- trials -----------------------------------------------------------------------------

    def _run_all(self, open_files: ExitStack) -> None:
        measurer: DataMeasurer | None = None
        if self._recipe.evaluation:
            measurer = self._measurer(open_files)
        references = measurer.references() if measurer else proxy_references(self._name)
        for reference in references:
            self._references.append(reference)
            self._say("reference", reference.as_json())
        for number in range(len(self._trials)):
            self._one(number, measurer)

    def _measurer(self, open_files: ExitStack) -> DataMeasurer:
        self._control.step(Progress(0, 0, "measuring the aligned model and the fine-tune"))
        aligned = open_files.enter_context(open_checkpoint(self._recipe.aligned.path))
        tuned = open_files.enter_context(open_checkpoint(self._recipe.tuned.path, base=aligned))
        self._aligned: Checkpoint = aligned
        with Clock(self._seconds, "measuring"):
            return DataMeasurer(self._recipe, aligned, tuned, self._name, self._watching())

    def _one(self, number: int, measurer: DataMeasurer | None) -> None:
        self._change(number, state="running")
        started = time.perf_counter()
        try:
            self._repair(number)
            measures = self._measured(number, measurer)
        except CancelledError:
            raise
        except Exception as error:
            self._fail(number, error)
            return
        facts = {"seconds": round(time.perf_counter() - started, 3)}
        self._change(number, state="done", **facts, **self._quality(measures, measurer))
        if self._recipe.keep == "none":
            self._drop(number)

    def _repair(self, number: int) -> None:
        trial = self._trials[number]
        target = self._work / model_name(self._name, trial)
        setting = self._recipe.settings[number]
        recipe = repair_recipe(self._recipe, setting, target, cache=self._cache)
        total = self._each * len(self._trials)
        prefix = f"repair {trial.number}/{len(self._trials)}"
        part = self._watching().part(self._each * number, total, prefix)
        with Clock(self._seconds, "repairing"):
            report = run(recipe, part)
        self._peak = max(self._peak, report.peak_bytes)
        self._artefacts[number] = report.artefacts[0]
        self._facts[number] = report.results["repair"]
        bytes_ = report.artefacts[0].file_bytes
        self._change(number, file_bytes=bytes_, peak_bytes=report.peak_bytes)

    def _measured(self, number: int, measurer: DataMeasurer | None) -> dict[str, Measure]:
        if measurer is None:
            return proxy_measures(self._facts[number]["total"])
        path = self._artefacts[number].path
        with Clock(self._seconds, "measuring"):
            self._step(number, "measuring")
            with open_checkpoint(path, base=self._aligned) as model:
                return measurer.measure(model, self._watching())

    def _step(self, number: int, words: str) -> None:
        total, trial = self._each * len(self._trials), self._trials[number]
        stage = f"repair {trial.number}/{len(self._trials)} · {words}"
        self._control.step(Progress(self._each * (number + 1), total, stage))

    def _quality(
        self, measures: dict[str, Measure], measurer: DataMeasurer | None
    ) -> dict[str, Any]:
        plain = {name: one.as_json() for name, one in measures.items()}
        quality = measurer.quality(measures) if measurer else None
        if quality is None:
            return {"measures": plain}
        return {
            "measures": plain,
            "quality": quality.value,
            "quality_low": quality.low,
            "quality_high": quality.high,
            "measured_on": quality.measured_on,
        }

    def _fail(self, number: int, error: Exception) -> None:
        reason = str(error)
        if not isinstance(error, AppError):
            log.error("repair %s failed", self._trials[number].number, exc_info=error)
            reason = f"Internal error: {error}. See the log."
        self._drop(number)
        self._change(number, state="failed", reason=reason)

    def _drop(self, number: int) -> None:
        artefact = self._artefacts.pop(number, None)
        if artefact is not None:
            shutil.rmtree(artefact.path, ignore_errors=True)

    # --- the end ----------------------------------------------------------------------------

    def _choose(self) -> None:
        done = [
            number
            for number, trial in enumerate(self._trials)
            if trial.state == "done" and {"utility", "refusal"} <= set(trial.measures)
        ]
        if not done:
            reason = self._trials[0].reason or "nothing could be measured"
            raise AppError(
                f"every repair failed, the first one because: {reason}", where=str(self._output)
            )
        points = [point_of(self._trials[number]) for number in done]
        chosen = safety_pick.pick(points, self._recipe.target)
        self._rule = safety_pick.rule(points, self._recipe.target)
        for place, (number, is_front) in enumerate(
            zip(done, safety_pick.front(points), strict=True)
        ):
            self._trials[number] = replace(
                self._trials[number], on_front=is_front, recommended=place == chosen
            )

    def _keep(self) -> list[Artefact]:
        kept = []
        for number, artefact in self._artefacts.items():
            if not self._is_kept(self._trials[number]):
                continue
            target = self._output / Path(artefact.path).name
            Path(artefact.path).rename(target)
            kept.append(replace(artefact, path=str(target)))
            self._trials[number] = replace(self._trials[number], kept=True, artefact=str(target))
        shutil.rmtree(self._work)
        self._state = "done"
        text = json.dumps(self._sweep().as_json(), indent=2)
        (self._output / SWEEP_FILE).write_text(text + "\n", encoding="utf-8")
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
        """Leave nothing behind, and say in which state the repairs are."""
        for trial in self._trials:
            if trial.artefact:
                shutil.rmtree(trial.artefact, ignore_errors=True)
        shutil.rmtree(self._work, ignore_errors=True)
        (self._output / SWEEP_FILE).unlink(missing_ok=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        self._state = "cancelled" if isinstance(error, CancelledError) else "failed"
        waiting = {"waiting", "running"}
        self._trials = [
            replace(
                trial,
                artefact="",
                kept=False,
                state="cancelled" if trial.state in waiting else trial.state,
            )
            for trial in self._trials
        ]
        self._say("sweep", self._sweep().as_json())

    # --- words ------------------------------------------------------------------------------

    def _change(self, number: int, **facts: Any) -> None:
        self._trials[number] = replace(self._trials[number], **facts)
        self._say("trial", self._trials[number].as_json())

    def _say(self, subject: str, values: dict[str, Any]) -> None:
        self._control.report(Measured(subject, values))

    def _watching(self) -> JobControl:
        """Give the job's control, which also writes warnings down."""

        def report(event: Event) -> None:
            if isinstance(event, Warned):
                text = f"{event.where}: {event.text}" if event.where else event.text
                if text in self._warnings:
                    return
                self._warnings.append(text)
            self._control.report(event)

        return self._control.reporting_to(report)

    def _sweep(self) -> Sweep:
        recipe = self._recipe
        return Sweep(
            id=self._id,
            title=recipe.title or f"Repair of {self._name}",
            created=self._created,
            base=display_name(recipe.aligned.path, recipe.aligned.name),
            base_path=recipe.aligned.path,
            trials=tuple(self._trials),
            references=tuple(self._references),
            state=self._state,
            rule=self._rule,
            recipe=dump_recipe(recipe),
        )

    def _report(self, kept: list[Artefact]) -> Report:
        chosen = next(n for n, trial in enumerate(self._trials) if trial.recommended)
        results = {"sweep": self._sweep().as_json(), "repair": self._facts[chosen]}
        return Report(
            job="repair-sweep",
            recipe=dump_recipe(self._recipe),
            artefacts=tuple(kept),
            seconds={name: round(value, 4) for name, value in self._seconds.items()},
            peak_bytes=self._peak,
            warnings=tuple(self._warnings),
            versions=versions(),
            results=results | {"notes": [] if self._recipe.evaluation else [f"Proxy: {PROXY}."]},
        )


def point_of(trial: Trial) -> safety_pick.Point:
    """Give a measured repair's utility and refusal rate."""
    return trial.measures["utility"]["value"], trial.measures["refusal"]["value"]
