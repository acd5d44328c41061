"""Safety repair: statistics of texts, then tensors through a method into one new model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.checkpoints.writer import ModelWriter
from deltaworks.engine.budget import ByteBudget
from deltaworks.engine.environment import n_workers
from deltaworks.engine.execution import Run
from deltaworks.engine.journal import Journal
from deltaworks.engine.model_output import ModelOutput, checksum
from deltaworks.engine.pipeline import Steps, run_pipeline
from deltaworks.engine.plan_types import WorkItem
from deltaworks.engine.provenance import lasting_recipe
from deltaworks.engine.repair_blocks import RepairedBlocks
from deltaworks.engine.repair_facts import REPORT_FILE, repair_facts, side_files, side_notes
from deltaworks.engine.repair_layers import (
    read_words,
    repair_tensor,
    rounded,
    statistics_of,
    tensors_of,
)
from deltaworks.engine.repair_plan import open_repair, plan_of
from deltaworks.engine.repair_statistics import Statistics, inputs_facts
from deltaworks.engine.repair_types import RepairJob, RepairTask
from deltaworks.engine.reports import Artefact, Report
from deltaworks.errors import MismatchError
from deltaworks.methods.safety_record import Repaired
from deltaworks.numerics.words import tensor_words
from deltaworks.progress import JobControl
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name
from deltaworks.recipes.schema import RepairRecipe

if TYPE_CHECKING:
    Words = np.ndarray[Any, Any]

_Done = tuple["Words", str, Mapping[str, float], str]
"""Words, their checksum, facts, and a warning or nothing."""


def run_repair(recipe: RepairRecipe, control: JobControl, *, resume: bool = False) -> Report:
    """Repair a fine-tune.

    Args:
        recipe: what to do.
        control: of whoever started it.
        resume: go on from what a run of this recipe that was killed has left.

    Raises:
        AppError: something was wrong with recipe, inputs or disk; nothing is left behind.
    """
    with ExitStack() as open_files:
        job = open_repair(recipe, open_files, resume=resume)
        plan = plan_of(job)
        with Run("repair", plan, control, notes=side_notes(job)) as run:
            for warning in plan.notes:
                run.warn(warning)
            with Statistics(job, run) as statistics:
                job = _surveyed(job, statistics)
                items = tuple(item for item in plan.items if item.stage == "tensors")
                facts, n_bytes = _write(job, items, statistics, run, resume=resume)
            run.finish()
            report = run.report(dump_recipe(recipe), [_artefact(job, n_bytes)])
        return replace(report, results={**report.results, "repair": facts})


def _surveyed(job: RepairJob, statistics: Statistics) -> RepairJob:
    """Let a method look at all tensors first, where its options ask for it."""
    look = job.method.first_look
    if look is None or not look.is_needed(job.options):
        return job
    scores = {}
    for name in job.repaired:
        tensors: dict[str, Any] = dict(tensors_of(job, name, read_words(job, name)))
        inputs = replace(statistics_of(job, name, statistics), **tensors)
        scores[name] = look.score(inputs, job.options)
    return replace(job, options=look.settle(job.options, scores))


def _write(
    job: RepairJob,
    items: tuple[WorkItem, ...],
    statistics: Statistics,
    run: Run,
    *,
    resume: bool,
) -> tuple[dict[str, Any], int]:
    """Write the result, an adapter or a model; give its facts and size."""
    layers: dict[str, Mapping[str, Any]] = {}
    with closing(_Repairer(job, statistics, run)) as repairer:
        with run.stage("hashing"):
            models = inputs_facts(job.by_role, run.control)
        if job.keeps_adapter:
            from deltaworks.engine.repair_adapter import write_adapter

            return write_adapter(job, repairer.repaired, models, statistics.facts, run)
        return _write_model(job, items, repairer, layers, models, statistics, run, resume=resume)


def _write_model(
    job: RepairJob,
    items: tuple[WorkItem, ...],
    repairer: _Repairer,
    layers: dict[str, Mapping[str, Any]],
    models: dict[str, Any],
    statistics: Statistics,
    run: Run,
    *,
    resume: bool,
) -> tuple[dict[str, Any], int]:
    lasting = lasting_recipe(job.recipe)
    metadata = {"format": "pt", "deltaworks_recipe": json.dumps(lasting, separators=(",", ":"))}

    def make_writer(job_id: str, goes_on: bool) -> ModelWriter:
        return ModelWriter(
            job.target,
            [task.info for task in job.tasks.values()],
            shard_bytes=job.recipe.shard_bytes,
            side_files=side_files(job),
            metadata=metadata,
            job_id=job_id,
            goes_on=goes_on,
        )

    journal = Journal(job.target, lasting, job.models, resume=resume)
    with ModelOutput(job.target, journal, make_writer) as output:
        left = output.left(items, lambda _item: 0, run)
        layers |= {name: facts["facts"] for name, facts in output.found.items() if "facts" in facts}
        repairer.prepare([item.tensor for item in left])

        def write(item: WorkItem, done: _Done) -> None:
            words, hashed, facts, warning = done
            if warning:
                run.warn(warning, item.tensor)
            kept = {"facts": dict(facts)} if facts else None
            output.write(item, words, 0, hashed, warning, facts=kept)
            if facts:
                layers[item.tensor] = facts
            for model in job.models:
                if item.tensor in model:
                    model.release(item.tensor)

        with run.stage("tensors"):
            run_pipeline(
                left,
                Steps(lambda item: read_words(job, item.tensor), repairer.done, write),
                budget=ByteBudget(job.recipe.memory_bytes),
                threads=n_workers(job.recipe.threads),
                tally=run.tally,
            )
        facts = repair_facts(job, models, statistics.facts, layers)
        late = {REPORT_FILE: (json.dumps(facts, indent=2) + "\n").encode()}
        with run.stage("finish"):
            return facts, output.commit(run.control, late)


class _Repairer:
    """Computes what is written of one tensor."""

    def __init__(self, job: RepairJob, statistics: Statistics, run: Run) -> None:
        self._job, self._statistics, self._run = job, statistics, run
        self._blocks: RepairedBlocks | None = None

    def prepare(self, names: list[str]) -> None:
        """Do first what has to be done in the order of the blocks."""
        if not self._statistics.recomputes or not set(names) & set(self._job.repaired):
            return
        self._blocks = RepairedBlocks(self._job, self._statistics)
        self._blocks.collect(self._run)

    def close(self) -> None:
        """Let go of what was kept."""
        if self._blocks is not None:
            self._blocks.close()

    def done(self, item: WorkItem, words: dict[str, Words]) -> _Done:
        """Give the words of one tensor, its facts and a warning."""
        task = self._job.tasks[item.tensor]
        if task.origin != "repaired":
            out = tensor_words(self._copied(task, words))
            return out, checksum(out), {}, ""
        try:
            found = self.repaired(item.tensor, words)
        except MismatchError as error:
            if self._reached(item.tensor):
                raise
            out = tensor_words(self._unreached(task, words))
            return out, checksum(out), {}, f"not repaired: {error.what}"
        out = tensor_words(rounded(found.tensor, task.info.dtype, item.tensor))
        return out, checksum(out), self._with_tokens(item.tensor, found.facts), ""

    def _reached(self, name: str) -> bool:
        is_needed = "gram" in self._job.statistics
        return not is_needed or self._statistics.has_gram(name)

    def _unreached(self, task: RepairTask, words: dict[str, Words]) -> Any:
        """Take a layer that no text reached from where untreated tensors come from."""
        tensors = tensors_of(self._job, task.info.name, words)
        chosen = tensors["aligned" if self._job.method.others == "aligned" else "tuned"]
        return rounded(chosen, task.info.dtype, task.info.name)

    def repaired(self, name: str, words: dict[str, Words] | None = None) -> Repaired:
        """Repair one tensor, not yet rounded unless its block was."""
        if self._blocks is not None and name in self._blocks:
            return self._blocks.read(name)
        job = self._job
        tensors = tensors_of(job, name, read_words(job, name) if words is None else words)
        return repair_tensor(job, name, tensors, statistics_of(job, name, self._statistics))

    def _with_tokens(self, name: str, facts: Mapping[str, float]) -> Mapping[str, float]:
        tokens = self._statistics.tokens(name)
        return {**facts, "tokens": tokens} if tokens else facts

    def _copied(self, task: RepairTask, words: dict[str, Words]) -> Any:
        import torch

        name = task.info.name
        tensors = tensors_of(self._job, name, words)
        tensor = tensors[task.origin]
        if task.has_grown:
            tuned = tensors["tuned"]
            tensor = torch.cat([tensor[: task.n_common].to(tuned.dtype), tuned[task.n_common :]])
        if not task.info.is_floating:
            return tensor
        return rounded(tensor, task.info.dtype, name)


def _artefact(job: RepairJob, n_bytes: int) -> Artefact:
    return Artefact(
        path=str(job.target),
        kind="adapter" if job.keeps_adapter else "model",
        name=display_name(str(job.target)),
        expert=str(job.tuned.path),
        base=str(job.aligned.path),
        method=job.method.id,
        options=job.options.model_dump(mode="json"),
        file_bytes=n_bytes,
    )
