"""Merging: tensors stream through a method into one new model."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.checkpoints.writer import ModelWriter
from deltaworks.engine.budget import ByteBudget
from deltaworks.engine.environment import n_workers
from deltaworks.engine.execution import Run
from deltaworks.engine.journal import Entry, Journal
from deltaworks.engine.merge_facts import Facts, find_facts
from deltaworks.engine.merge_plan import MergeJob, open_merge
from deltaworks.engine.merge_streams import (
    Put,
    Written,
    arithmetic_of,
    convert,
    copy,
    merge_stream,
)
from deltaworks.engine.merge_types import MergeTask
from deltaworks.engine.merged_files import merged_side_files
from deltaworks.engine.model_output import ModelOutput
from deltaworks.engine.pipeline import Steps, run_pipeline
from deltaworks.engine.plan_types import WorkItem
from deltaworks.engine.provenance import lasting_recipe
from deltaworks.engine.reports import Artefact, Report
from deltaworks.errors import NotFiniteError
from deltaworks.methods.merging_record import MergeExpert, MergeInputs, MergingMethod
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.stored import Stored
from deltaworks.numerics.words import tensor_words, torch_dtype, words_tensor
from deltaworks.options import Options
from deltaworks.progress import JobControl
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name
from deltaworks.recipes.patterns import varies
from deltaworks.recipes.schema import MergeRecipe

if TYPE_CHECKING:
    from torch import Tensor

    Words = np.ndarray[Any, Any]

_Read = tuple["Words | None", "list[Words]"]


def run_merge(recipe: MergeRecipe, control: JobControl, *, resume: bool = False) -> Report:
    """Merge models into one.

    Args:
        recipe: what to do.
        control: of whoever started it.
        resume: go on from what a run of this recipe that was killed has left.

    Raises:
        AppError: something was wrong with recipe, inputs or disk; nothing is left behind.
    """
    with ExitStack() as open_files:
        job = open_merge(recipe, open_files, resume=resume)
        plan = job.plan()
        side_files, notes = merged_side_files(job)
        with Run("merge", plan, control, notes=notes) as run:
            for warning in plan.notes:
                run.warn(warning)
            with run.stage("surveys"):
                facts = find_facts(job, control, open_files)
            n_bytes = write_tensors(job, facts, plan.items, side_files, run, resume=resume)
            run.finish()
            return run.report(dump_recipe(recipe), [_artefact(job, n_bytes)])


def write_tensors(
    job: MergeJob,
    facts: Facts,
    items: tuple[WorkItem, ...],
    side_files: Any,
    run: Run,
    *,
    resume: bool,
    lasting: dict[str, Any] | None = None,
) -> int:
    """Write the model: every tensor of the job, and the files beside them.

    Args:
        job: what is merged or copied.
        facts: of its surveys.
        items: of the plan.
        side_files: name to content or to a file to copy.
        run: measures, warns and stops.
        resume: go on from what a run that was killed has left.
        lasting: the recipe as it is stored; the job's own when not given.

    Returns:
        Bytes of everything in the folder.
    """
    lasting = lasting_recipe(job.recipe) if lasting is None else lasting
    metadata = {"format": "pt", "deltaworks_recipe": json.dumps(lasting, separators=(",", ":"))}

    def make_writer(job_id: str, goes_on: bool) -> ModelWriter:
        return ModelWriter(
            job.target,
            [task.info for task in job.tasks.values()],
            shard_bytes=job.recipe.shard_bytes,
            side_files=side_files,
            metadata=metadata,
            job_id=job_id,
            goes_on=goes_on,
        )

    journal = Journal(job.target, lasting, job.inputs, resume=resume)
    with ModelOutput(job.target, journal, make_writer) as output:
        left = output.left(items, lambda item: _offset(job.tasks[item.tensor], item), run)

        # Large tensors first, so that no worker is left alone with one at the end.
        left.sort(key=lambda item: -job.tasks[item.tensor].info.n_elements)

        def compute(item: WorkItem, data: _Read) -> Written:
            offset = _offset(job.tasks[item.tensor], item)

            def put(words: Words, at: int) -> None:
                run.control.check()
                output.put(item, words, offset + at)

            return _compute(job, facts, item, data, put)

        def note(item: WorkItem, done: Written) -> None:
            if done.warning:
                run.warn(done.warning, item.tensor)
            told = {"warning": done.warning} if done.warning else {}
            output.note(Entry(item.id, done.n_bytes, done.checksum, told))
            _release(job, job.tasks[item.tensor], item)

        with run.stage("tensors"):
            run_pipeline(
                left,
                Steps(
                    lambda item: _read(job, item),
                    compute,
                    note,
                    needs_torch=not all(map(partial(_streams, facts), job.tasks.values())),
                ),
                budget=ByteBudget(job.recipe.memory_bytes),
                threads=n_workers(job.recipe.threads),
                tally=run.tally,
            )
        with run.stage("finish"):
            return output.commit(run.control)


def _read(job: MergeJob, item: WorkItem) -> _Read:
    task = job.tasks[item.tensor]
    rows = slice(*item.rows) if item.rows else None
    first = task.copied or task.base
    start = None if first is None else job.words(first, rows)
    return start, [job.words(source, rows) for source in task.sources]


def _streams(facts: Facts, task: MergeTask) -> bool:
    """Whether a tensor is copied, or merged piece by piece and without torch."""
    if task.method is None:
        return True
    return task.method.stream is not None and not facts.needs_whole_tensors


def _compute(job: MergeJob, facts: Facts, item: WorkItem, data: _Read, put: Put) -> Written:
    task = job.tasks[item.tensor]
    base, experts = data
    if task.copied is not None:
        return _copied(job, task, data, put)
    if _streams(facts, task):
        return merge_stream(job, task, base, experts, put)
    return copy(tensor_words(_merged(job, facts, item, base, experts)), put)


def _copied(job: MergeJob, task: MergeTask, data: _Read, put: Put) -> Written:
    """Copy a tensor; integers that differ between models are worth a word."""
    source, others = data
    assert source is not None
    assert task.copied is not None
    dtype = job.dtype(task.copied)
    if dtype != task.info.dtype:
        return convert(Stored(source.reshape(-1), dtype), task, put)
    differ = any(not np.array_equal(source, other) for other in others)
    return copy(source, put, "differs between the models; one was copied" if differ else "")


def _merged(
    job: MergeJob, facts: Facts, item: WorkItem, base: Words | None, experts: list[Words]
) -> Tensor:
    task = job.tasks[item.tensor]
    assert task.method is not None
    shape = experts[0].shape
    inputs = MergeInputs(
        TensorSpec(task.info.name, tuple(shape), job.recipe.seed),
        None if base is None or task.base is None else words_tensor(base, job.dtype(task.base)),
        tuple(
            MergeExpert(words_tensor(words, job.dtype(source)), source.options)
            for source, words in zip(task.sources, experts, strict=True)
        ),
        arithmetic=arithmetic_of(job, task),
    )
    inputs = facts.complete(job, task, inputs)
    options = task.options
    assert options is not None
    if task.method.is_elementwise:
        return _merged_in_pieces(task.method, inputs, options, task.info.dtype)
    return _rounded(task.method.merge(inputs, options), task.info.dtype, item.tensor)


def _merged_in_pieces(
    method: MergingMethod, inputs: MergeInputs, options: Options, dtype: str
) -> Tensor:
    """Merge and round piece by piece, so that float32 results never leave the cache."""
    import torch

    out = torch.empty(inputs.spec.shape, dtype=torch_dtype(dtype))
    flat = out.view(-1)
    base = None if inputs.base is None else inputs.base.reshape(-1)
    experts = [(expert.tensor.reshape(-1), expert) for expert in inputs.experts]
    for span in spans(len(flat)):
        piece = replace(
            inputs,
            spec=replace(inputs.spec, shape=(span.stop - span.start,)),
            base=None if base is None else base[span],
            experts=tuple(replace(own, tensor=tensor[span]) for tensor, own in experts),
        )
        flat[span] = _rounded(method.merge(piece, options), dtype, inputs.spec.name)
    return out


def _rounded(merged: Tensor, dtype: str, where: str) -> Tensor:
    """Round once to the dtype of the result."""
    import torch

    rounded = merged.to(torch_dtype(dtype))
    if dtype == "F16" and not torch.isfinite(rounded).all():
        raise NotFiniteError(
            f"values up to {merged.abs().max().item():.3g} do not fit into F16",
            where=where,
            fix="Choose BF16 or F32 for the result.",
        )
    return rounded


def _offset(task: MergeTask, item: WorkItem) -> int:
    """Bytes before an item's first row."""
    if item.rows is None:
        return 0
    return item.rows[0] * (task.info.nbytes // task.info.shape[0])


def _release(job: MergeJob, task: MergeTask, item: WorkItem) -> None:
    """Give a tensor's memory back after its last rows, which are written last."""
    if item.rows is None or item.rows[1] == task.info.shape[0]:
        job.release(task)


def _artefact(job: MergeJob, n_bytes: int) -> Artefact:
    return Artefact(
        path=str(job.target),
        kind="model",
        name=display_name(str(job.target)),
        expert="",
        base=str(job.base.path) if job.base else "",
        method=job.method.id,
        options=_shown_options(job),
        file_bytes=n_bytes,
    )


def _shown_options(job: MergeJob) -> dict[str, Any]:
    """Give all options; those that differ between tensors as the recipe says them."""
    given = job.recipe.setting.options
    plain = {name: value for name, value in given.items() if not varies(value)}
    known = {
        name: value for name, value in plain.items() if name in job.method.options.model_fields
    }
    return {**job.method.options(**known).model_dump(mode="json"), **given}
