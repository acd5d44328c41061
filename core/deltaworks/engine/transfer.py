"""A transfer from end to end: sensitivities, blocks, arms trained side by side, results."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from deltaworks.checkpoints.staging import publish_folder
from deltaworks.engine.execution import Run
from deltaworks.engine.inputs import FrozenInputs
from deltaworks.engine.reports import Artefact, Report
from deltaworks.engine.transfer_arms import Arms
from deltaworks.engine.transfer_extraction import extract
from deltaworks.engine.transfer_lessons import Lessons, read_lessons
from deltaworks.engine.transfer_output import artefact, write_adapter, write_model, write_record
from deltaworks.engine.transfer_plan import open_transfer, plan_of
from deltaworks.engine.transfer_similarity import similarity_of
from deltaworks.engine.transfer_types import TransferJob
from deltaworks.engine.transfer_work import Work
from deltaworks.inference.running import load_model
from deltaworks.methods.transfer.record import Factors
from deltaworks.progress import JobControl, Measured, Progress
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.schema import TransferRecipe

_Facts = dict[str, Any]
_Changes = dict[str, dict[str, Factors]]


def run_transfer(recipe: TransferRecipe, control: JobControl, *, resume: bool = False) -> Report:
    """Transfer, train the controls, and write what came out.

    Args:
        recipe: what to do.
        control: of whoever started it.
        resume: go on from what a run of this recipe that was killed has left.

    Raises:
        CancelledError: stopped; nothing is left behind.
        AppError: it cannot be done; nothing is left behind.
    """
    recipe = recipe.model_copy(update={"device": _device(recipe.device)})
    with ExitStack() as open_files:
        job = open_transfer(recipe, open_files)
        with Run("transfer", plan_of(job), control) as run:
            work = Work(job, resume=resume)
            try:
                facts, made = _Running(job, run, work, control).run()
            except Exception:
                work.give_up()
                raise
            report = run.report(dump_recipe(recipe), made)
        return replace(report, results={**report.results, "transfer": facts})


def _device(name: str) -> str:
    if name != "auto":
        return name
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


class _Running:
    """One transfer while it runs; progress counts samples, matrices and steps."""

    def __init__(self, job: TransferJob, run: Run, work: Work, control: JobControl) -> None:
        self._job, self._run, self._work, self._control = job, run, work, control
        self._inputs = FrozenInputs([job.source, job.target])
        self._result = work.folder / "result"
        self._trained = job.recipe.steps * len(job.arms)
        self._before = min(job.recipe.seed_samples, 10**6) + len(job.places)
        self._total = self._before + self._trained

    def run(self) -> tuple[_Facts, list[Artefact]]:
        """Do all of it; give the facts and what was made."""
        shutil.rmtree(self._result, ignore_errors=True)
        self._result.mkdir()
        facts: _Facts = {
            "method": self._job.method.id,
            "title": self._job.method.title,
            "depth": list(self._job.depth),
        }
        if self._job.recipe.similarity != "weights":
            facts["similarity"] = similarity_of(self._job, self._run, self._counting(0))
            self._control.report(Measured("similarity", facts["similarity"]))
        made: list[Artefact] = []
        if self._job.recipe.similarity != "only":
            changes = self._transfer(facts)
            with self._run.stage("output"):
                made = self._write(changes)
        write_record(self._result, facts)
        self._inputs.check()
        publish_folder(self._result, self._job.output)
        self._work.drop()
        self._control.report(Progress(self._total, self._total, "done"))
        return facts, made

    def _counting(self, before: int) -> JobControl:
        """Give a control whose events count from here on towards the whole."""
        return self._control.part(before, self._total)

    def _transfer(self, facts: _Facts) -> _Changes:
        lessons = read_lessons(self._job, self._run)
        starts, found = self._starts(lessons)
        facts |= found
        self._control.report(Measured("extraction", found))
        changes: _Changes = {}
        with self._run.stage("training"):
            device = self._job.recipe.device
            running = load_model(self._job.target, device=device, control=self._control.silent())
            arms = Arms(self._job, running, lessons, starts, self._work)
            facts["untouched"], facts["unaligned"] = arms.untouched(), arms.unaligned()
            facts["arms"] = []
            for number, arm in enumerate(self._job.arms):
                before = self._before + number * self._job.recipe.steps
                changes[arm], told = arms.run(arm, self._counting(before))
                facts["arms"].append(told)
                self._control.report(Measured("arm", told))
        return changes

    def _starts(self, lessons: Lessons) -> tuple[dict[str, Factors], _Facts]:
        """Give the transferred factors; taken over where an earlier run has found them."""
        done = self._work.load("starts")
        if done is None:
            done = extract(self._job, lessons["seed_data"], self._run, self._counting(0))
            self._work.save("starts", *done)
        return done

    def _write(self, changes: _Changes) -> list[Artefact]:
        job, made = self._job, []
        for arm, change in changes.items():
            place = Path("adapters", arm)
            n_bytes = write_adapter(job, change, self._result / place)
            made.append(artefact(job, job.output / place, "adapter", arm, n_bytes))
        if job.recipe.merged:
            change = changes[job.method.id]
            n_bytes = write_model(job, change, self._result / "model", self._control)
            first = artefact(job, job.output / "model", "model", job.method.id, n_bytes)
            made.insert(0, first)
        return made
