"""Compressing: each tensor of an expert is read once and encoded at every setting."""

from __future__ import annotations

import contextlib
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.engine.budget import ByteBudget
from deltaworks.engine.compress_plan import CompressJob, ExpertJob, TensorTask, open_compress
from deltaworks.engine.delta_output import DeltaOutputs
from deltaworks.engine.encoding import EncodedTensor, encode_tensor, prefetch
from deltaworks.engine.environment import n_workers
from deltaworks.engine.execution import Run
from deltaworks.engine.pipeline import Steps, run_pipeline
from deltaworks.engine.plan_types import WorkItem
from deltaworks.engine.reports import Artefact, Report
from deltaworks.progress import JobControl
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.schema import CompressRecipe

if TYPE_CHECKING:
    Words = np.ndarray[Any, Any]

_Read = tuple["Words | None", "Words", "list[Words]"]
"""The base's words, the expert's, and those of tensors that it may be tied to."""


def run_compress(recipe: CompressRecipe, control: JobControl) -> Report:
    """Write one delta file for each expert and setting.

    Raises:
        AppError: something was wrong with recipe, inputs or disk; nothing is left behind.
    """
    report, results = _run(recipe, control, tolerate=False)
    assert not any(isinstance(result, BaseException) for result in results)
    return report


def try_compress(
    recipe: CompressRecipe, control: JobControl
) -> tuple[Report, list[Artefact | BaseException]]:
    """Write what can be written: a setting that fails does not stop the others.

    Returns:
        The report of what was made, and for every expert and setting, in the order of
        the recipe, its artefact or its error.

    Raises:
        AppError: the inputs could not be opened or read; nothing is left behind.
    """
    return _run(recipe, control, tolerate=True)


def _run(
    recipe: CompressRecipe, control: JobControl, *, tolerate: bool
) -> tuple[Report, list[Artefact | BaseException]]:
    with ExitStack() as open_files:
        job = open_compress(recipe, open_files)
        results: list[Artefact | BaseException] = []
        folder = job.experts[0].targets[0].parent
        new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            with Run("compress", job.plan(), control, notes=job.notes) as run:
                for warning in job.warnings:
                    run.warn(warning)
                for expert in job.experts:
                    results += _expert(job, expert, run, tolerate=tolerate)
                run.finish()
        except BaseException:
            _remove(results, new_folders)
            raise
        made = [result for result in results if isinstance(result, Artefact)]
        return run.report(dump_recipe(recipe), made), results


def _expert(
    job: CompressJob, expert: ExpertJob, run: Run, *, tolerate: bool
) -> list[Artefact | BaseException]:
    tasks = {task.item.id: task for task in expert.tasks}

    def compute(item: WorkItem, data: _Read) -> EncodedTensor:
        base, tuned, twins = data
        return encode_tensor(
            tasks[item.id],
            base,
            tuned,
            job.choices,
            seed=job.recipe.seed,
            tolerate=tolerate,
            twins=twins,
        )

    def write(item: WorkItem, tensor: EncodedTensor) -> None:
        if tensor.warning:
            run.warn(tensor.warning, f"{expert.name}: {item.tensor}")
        outputs.add(tensor)

    with DeltaOutputs(job, expert, run.id) as outputs:
        with run.stage("tensors"):
            run_pipeline(
                [task.item for task in expert.tasks],
                Steps(lambda item: _read(job, expert, tasks[item.id]), compute, write),
                budget=ByteBudget(job.recipe.memory_bytes),
                threads=n_workers(job.recipe.threads),
                tally=run.tally,
            )
        run.control.check()
        with run.stage("finish"):
            return outputs.finish(run.control)


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
