"""Rebuilding: base and delta file in, the full model folder out."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.checkpoints import open_checkpoint
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.delta_checkpoint import DeltaCheckpoint
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.checkpoints.writer import ModelWriter
from deltaworks.engine import checks
from deltaworks.engine.budget import ByteBudget
from deltaworks.engine.compress_plan import working_bytes
from deltaworks.engine.environment import n_workers
from deltaworks.engine.execution import Run
from deltaworks.engine.inputs import open_input
from deltaworks.engine.journal import Journal
from deltaworks.engine.model_output import ModelOutput, checksum
from deltaworks.engine.pipeline import Steps, run_pipeline
from deltaworks.engine.plan_types import OutputPlan, Plan, WorkItem
from deltaworks.engine.provenance import lasting_recipe
from deltaworks.engine.reports import Artefact, Report
from deltaworks.errors import AppError, FileError, MismatchError
from deltaworks.methods import compression_method
from deltaworks.progress import JobControl
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name
from deltaworks.recipes.schema import RebuildRecipe

if TYPE_CHECKING:
    Words = np.ndarray[Any, Any]


@dataclass(frozen=True)
class RebuildJob:
    """Everything that is known before the first tensor is read."""

    recipe: RebuildRecipe
    base: Checkpoint
    delta: DeltaCheckpoint

    @property
    def target(self) -> Path:
        """Folder of the model."""
        return Path(self.recipe.output)

    def plan(self) -> Plan:
        """Give the plan."""
        infos = [self.delta.info(name) for name in self.delta.names]
        n_bytes = sum(info.nbytes for info in infos)
        extra = sum(len(data) for data in self.delta.side_file_bytes().values())
        extra += sum(len(header) for header in self.delta.original_headers().values())
        items = tuple(
            WorkItem(
                id=info.name,
                stage="tensors",
                read_bytes=info.nbytes,
                write_bytes=info.nbytes,
                peak_bytes=2 * info.nbytes + self._working_bytes(info),
                tensor=info.name,
            )
            for info in infos
        )
        return Plan(
            title=f"Rebuild {display_name(str(self.delta.path))}",
            items=items,
            outputs=(OutputPlan(str(self.target), n_bytes + extra, n_bytes + extra),),
            original_bytes=n_bytes,
            notes=tuple(checks.space_note(self.target, n_bytes + extra)),
        )

    def _working_bytes(self, info: TensorInfo) -> int:
        manifest = self.delta.manifest
        stored = manifest.tensors.get(manifest.alias.get(info.name, info.name))
        return working_bytes(info, compression_method(stored.codec)) if stored else 0


def open_rebuild(
    recipe: RebuildRecipe, open_files: ExitStack, *, resume: bool = False
) -> RebuildJob:
    """Open and check everything; several faults are shown together."""
    faults: list[AppError] = list(checks.check_device(recipe.device))
    path, base = recipe.delta.path, None
    try:
        base_path = recipe.base.path if recipe.base else _recorded_base(path)
        base = open_input(base_path, None, open_files, faults)
    except AppError as error:
        faults.append(error)
    delta = open_input(path, base, open_files, faults)
    checks.raise_together(faults)
    assert base is not None
    if not isinstance(delta, DeltaCheckpoint):
        raise FileError("is no delta file", where=path, fix="Choose a delta file.")
    job = RebuildJob(recipe, base, delta)
    faults += checks.check_target(job.target, [base])
    if not resume:  # what is there already takes no more space: the writer knows
        faults += checks.check_space(job.target, job.plan().write_bytes)
    checks.raise_together(faults)
    return job


def _recorded_base(path: str) -> str:
    """Give the base that the delta's own recipe names, if it is still there."""
    with open_checkpoint(path) as delta:
        recipe = delta.recipe if isinstance(delta, DeltaCheckpoint) else {}
    recorded = recipe.get("base")
    base = recorded.get("path") if isinstance(recorded, dict) else None
    if isinstance(base, str) and Path(base).exists():
        return base
    what = f"its base {base} is not there" if base else "its base is not known"
    raise MismatchError(what, where=path, fix="Choose the base that the delta was made from.")


def run_rebuild(recipe: RebuildRecipe, control: JobControl, *, resume: bool = False) -> Report:
    """Write the full model again, every file of it.

    Args:
        recipe: what to do.
        control: of whoever started it.
        resume: go on from what a run of this recipe that was killed has left.

    Raises:
        AppError: something was wrong with the inputs, such as another base; nothing is
            left behind.
    """
    with ExitStack() as open_files:
        job = open_rebuild(recipe, open_files, resume=resume)
        plan = job.plan()
        with Run("rebuild", plan, control) as run:
            for warning in plan.notes:
                run.warn(warning)
            n_bytes = _write(job, plan.items, run, resume=resume)
            run.finish()
            return run.report(dump_recipe(recipe), [_artefact(job, n_bytes)])


def _write(job: RebuildJob, items: tuple[WorkItem, ...], run: Run, *, resume: bool) -> int:
    delta = job.delta

    def make_writer(job_id: str, goes_on: bool) -> ModelWriter:
        return ModelWriter(
            job.target,
            [delta.info(name) for name in delta.names],
            side_files=delta.side_file_bytes(),
            headers=delta.original_headers(),
            job_id=job_id,
            goes_on=goes_on,
        )

    inputs = (job.base, delta)
    journal = Journal(job.target, lasting_recipe(job.recipe), inputs, resume=resume)
    with ModelOutput(job.target, journal, make_writer) as output:
        left = output.left(items, lambda _item: 0, run)
        with run.stage("tensors"):
            run_pipeline(
                left,
                Steps(
                    lambda item: item.tensor,
                    lambda _item, name: _restored(delta, name),
                    lambda item, result: output.write(item, result[0], 0, result[1]),
                ),
                budget=ByteBudget(job.recipe.memory_bytes),
                threads=n_workers(job.recipe.threads),
                tally=run.tally,
            )
        with run.stage("finish"):
            return output.commit(run.control)


def _restored(delta: DeltaCheckpoint, name: str) -> tuple[Words, str]:
    """Decode on the worker: that is where the time goes."""
    words = delta.read_words(name)
    return words, checksum(words)


def _artefact(job: RebuildJob, n_bytes: int) -> Artefact:
    manifest = job.delta.manifest
    return Artefact(
        path=str(job.target),
        kind="model",
        name=display_name(str(job.target)),
        expert="",
        base=job.recipe.base.path if job.recipe.base else "",
        method=manifest.method,
        options={},
        file_bytes=n_bytes,
    )
