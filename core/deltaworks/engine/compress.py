"""Compressing: each tensor of an expert is read once and encoded at every setting."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.engine import checks
from deltaworks.engine.budget import ByteBudget
from deltaworks.engine.calibrating import grams_of
from deltaworks.engine.compress_plan import (
    Choice,
    CompressJob,
    ExpertJob,
    TensorTask,
    open_compress,
)
from deltaworks.engine.delta_output import DeltaOutputs
from deltaworks.engine.encoding import EncodedTensor, encode_tensor
from deltaworks.engine.environment import n_workers
from deltaworks.engine.execution import Run
from deltaworks.engine.fitting import fitted
from deltaworks.engine.pipeline import Steps, run_pipeline
from deltaworks.engine.plan_types import WorkItem
from deltaworks.engine.prefetching import prefetch
from deltaworks.engine.reports import Artefact, Report
from deltaworks.engine.resuming import made_before
from deltaworks.errors import AppError
from deltaworks.progress import JobControl
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.schema import CompressRecipe

if TYPE_CHECKING:
    Words = np.ndarray[Any, Any]

_Read = tuple["Words | None", "Words", "list[Words]"]
"""The base's words, the expert's, and those of tensors that it may be tied to."""


def run_compress(recipe: CompressRecipe, control: JobControl, *, resume: bool = False) -> Report:
    """Write one delta file for each expert and setting.

    Args:
        recipe: what to do.
        control: of whoever started it.
        resume: go on from what a run of this recipe that was killed has left.

    Raises:
        AppError: something was wrong with recipe, inputs or disk; nothing is left behind.
    """
    report, results = _run(recipe, control, tolerate=False, resume=resume)
    assert not any(isinstance(result, BaseException) for result in results)
    return report


def try_compress(
    recipe: CompressRecipe, control: JobControl, *, resume: bool = False
) -> tuple[Report, list[Artefact | BaseException]]:
    """Write what can be written: a setting that fails does not stop the others.

    Args:
        recipe: what to do.
        control: of whoever started it.
        resume: take over files and tensors that a run of this recipe that was killed has
            finished.

    Returns:
        The report of what was made, and for every expert and setting, in the order of
        the recipe, its artefact or its error.

    Raises:
        AppError: the inputs could not be opened or read; nothing is left behind.
    """
    return _run(recipe, control, tolerate=True, resume=resume)


def _run(
    recipe: CompressRecipe, control: JobControl, *, tolerate: bool, resume: bool = False
) -> tuple[Report, list[Artefact | BaseException]]:
    with ExitStack() as open_files:
        job = open_compress(recipe, open_files, resume=resume)
        before = _made_before(job)
        results: list[Artefact | BaseException] = []
        folder = job.experts[0].targets[0].parent
        new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            with Run("compress", job.plan(), control, notes=job.notes) as run:
                for warning in job.warnings:
                    run.warn(warning)
                for expert in job.experts:
                    results += _expert(job, expert, before, run, tolerate=tolerate, resume=resume)
                run.finish()
        except BaseException:
            _remove([result for result in results if result not in before.values()], new_folders)
            raise
        made = [result for result in results if isinstance(result, Artefact)]
        return run.report(dump_recipe(recipe), made), results


def _made_before(job: CompressJob) -> dict[Path, Artefact]:
    """Give the files that a run that is resumed has finished.

    Raises:
        FileError: a file is there that this job has not made.
    """
    found: dict[Path, Artefact] = {}
    faults: list[AppError] = []
    for expert in job.experts:
        for choice, target in zip(job.choices, expert.targets, strict=True):
            if not target.exists():
                continue
            artefact = made_before(job, expert, choice, target)
            if artefact is None:
                faults += checks.check_target(target, [])
            else:
                found[target] = artefact
    checks.raise_together(faults)
    return found


def _expert(
    job: CompressJob,
    expert: ExpertJob,
    before: Mapping[Path, Artefact],
    run: Run,
    *,
    tolerate: bool,
    resume: bool,
) -> list[Artefact | BaseException]:
    wanted = [
        pair for pair in zip(job.choices, expert.targets, strict=True) if pair[1] not in before
    ]
    made = iter(_write(job, expert, wanted, run, tolerate=tolerate, resume=resume))
    return [before[target] if target in before else next(made) for target in expert.targets]


def _write(
    job: CompressJob,
    expert: ExpertJob,
    wanted: Sequence[tuple[Choice, Path]],
    run: Run,
    *,
    tolerate: bool,
    resume: bool,
) -> list[Artefact | BaseException]:
    choices = [choice for choice, _ in wanted]
    tasks = {task.item.id: task for task in expert.tasks}

    def compute(item: WorkItem, data: _Read) -> EncodedTensor:
        base, tuned, twins = data
        name = tasks[item.id].info.name
        return encode_tensor(
            tasks[item.id],
            base,
            tuned,
            choices,
            seed=job.recipe.seed,
            tolerate=tolerate,
            twins=twins,
            gram=partial(grams.read, name) if grams and name in grams else None,
            multiples=[one.get(name) for one in learnt],
        )

    def write(item: WorkItem, tensor: EncodedTensor) -> None:
        if tensor.warning:
            run.warn(tensor.warning, f"{expert.name}: {item.tensor}")
        outputs.add(tensor)

    with DeltaOutputs(job, expert, wanted, resume=resume) as outputs:
        items = _left(expert, outputs, run) if wanted else []
        with (
            grams_of(job.recipe, choices if items else [], expert, run) as grams,
            run.stage("tensors"),
        ):
            learnt = fitted(job, expert, choices, grams, run) if items else ()
            run_pipeline(
                items,
                Steps(lambda item: _read(job, expert, tasks[item.id]), compute, write),
                budget=ByteBudget(job.recipe.memory_bytes),
                threads=n_workers(job.recipe.threads),
                tally=run.tally,
            )
        run.control.check()
        with run.stage("finish"):
            return outputs.finish(run.control)


def _left(expert: ExpertJob, outputs: DeltaOutputs, run: Run) -> list[WorkItem]:
    """Give the items that are still to be done; take over what an earlier run has done."""
    for warning in outputs.warnings:
        run.warn(warning, expert.name)
    finished = outputs.go_on(run.tally)
    if len(finished) < outputs.n_found:
        what = f"{outputs.n_found - len(finished)} of {outputs.n_found} finished tensors"
        run.warn(f"{what} of an earlier run do not fit any more and are done again", expert.name)
    for tensor in finished:
        if tensor.warning:
            run.warn(tensor.warning, f"{expert.name}: {tensor.task.item.tensor}")
    return [task.item for task in expert.tasks[len(finished) :]]


def _read(job: CompressJob, expert: ExpertJob, task: TensorTask) -> _Read:
    name = task.info.name
    base = prefetch(job.base.read_words(name)) if task.base else None
    # Twins mostly differ in their first words, so they are not read ahead.
    twins = [expert.checkpoint.read_words(twin) for twin in task.twins]
    return base, prefetch(expert.checkpoint.read_words(name)), twins


def _remove(results: list[Artefact | BaseException], folders: list[Path]) -> None:
    """Take away what earlier experts of a job that failed have made, folders last."""
    for result in results:
        if isinstance(result, Artefact):
            Path(result.path).unlink(missing_ok=True)
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
