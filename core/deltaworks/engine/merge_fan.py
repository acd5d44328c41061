"""Several merges of the same models at once: every tensor is read once a pass for all.

Methods with surveys gather in the passes before the one in which they merge; methods
without merge in the first. A merge that fails leaves the others alone.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints.writer import ModelWriter
from deltaworks.engine.budget import ByteBudget
from deltaworks.engine.environment import n_workers
from deltaworks.engine.merge_facts import Facts, Statistics, sparsifier_of
from deltaworks.engine.merge_geometry import Geometry, geometry_of
from deltaworks.engine.merge_inputs import BASE
from deltaworks.engine.merge_plan import MergeJob, open_merge
from deltaworks.engine.merge_types import MergeTask, Source
from deltaworks.engine.merged_files import merged_side_files
from deltaworks.engine.pipeline import Steps, Tally, run_pipeline
from deltaworks.engine.plan_types import WorkItem
from deltaworks.engine.prefetching import prefetch
from deltaworks.engine.provenance import lasting_recipe
from deltaworks.errors import AppError, CancelledError, NotFiniteError
from deltaworks.methods.merging_record import MergeExpert, MergeInputs
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.words import tensor_words, torch_dtype, words_tensor
from deltaworks.progress import JobControl
from deltaworks.recipes.schema import MergeRecipe

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Words = np.ndarray[Any, Any]

_Key = tuple[int, str]


@dataclass
class FanModel:
    """One merge among several.

    Args:
        job: what is merged.
        facts: what its method knows beside one tensor.
        writer: of the result.
        geometry: of the result among the experts.
        seconds: of processor time so far.
        error: why it stopped.
    """

    job: MergeJob
    facts: Facts
    writer: ModelWriter
    geometry: Geometry
    seconds: float = 0.0
    error: BaseException | None = None
    total: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def n_bytes(self) -> int:
        """Bytes of the merged tensors."""
        return sum(task.info.nbytes for task in self.job.tasks.values())

    def fail(self, error: BaseException) -> None:
        """Stop this merge; the others go on."""
        with self.lock:
            if self.error is None:
                self.error = error
                self.writer.abort()


class Fan:
    """Merges that share their reading. Use as a context: what is not committed goes away.

    Args:
        recipes: of the same base and experts; each with a folder of its own.
        control: Stop and pause.
    """

    def __init__(self, recipes: Sequence[MergeRecipe], control: JobControl) -> None:
        self._control = control
        self._open_files = ExitStack()
        self._texts: dict[tuple[str, ...], Statistics] = {}
        self.models: list[FanModel | AppError] = []
        try:
            for recipe in recipes:
                self.models.append(self._opened(recipe))
        except BaseException:
            self.close()
            raise

    def _opened(self, recipe: MergeRecipe) -> FanModel | AppError:
        try:
            job = open_merge(recipe, self._open_files)
            facts = Facts(self._statistics(job), sparsifier_of(recipe.pre))
            return FanModel(job, facts, _writer(job), Geometry(len(job.experts)))
        except CancelledError:
            raise
        except AppError as error:
            return error

    def _statistics(self, job: MergeJob) -> Statistics:
        """Run texts through the experts once for all methods that need the same."""
        needed = job.method.needs.statistics
        if needed not in self._texts:
            if not needed:
                self._texts[needed] = Statistics()
            else:
                from deltaworks.engine.merge_statistics import collect

                self._texts[needed] = collect(job, self._control, self._open_files)
        return self._texts[needed]

    @property
    def running(self) -> list[FanModel]:
        """Merges that have not failed."""
        return [one for one in self.models if isinstance(one, FanModel) and one.error is None]

    def run(self, tally: Tally | None = None) -> None:
        """Merge everything; failures are kept in the models.

        Args:
            tally: told of the bytes of every pass.
        """
        passes = max((len(one.job.method.surveys) for one in self.running), default=-1)
        for number in range(passes + 1):
            _Pass(self.running, number, tally or Tally(self._control.silent(), 0)).run()
        for model in self.running:
            try:
                model.writer.commit(self._control.silent())
            except CancelledError:
                raise
            except AppError as error:
                model.fail(error)

    def close(self) -> None:
        """Drop what is not committed, and let go of every file."""
        for model in self.models:
            if isinstance(model, FanModel):
                model.writer.abort()
        self._open_files.close()

    def __enter__(self) -> Fan:
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def _writer(job: MergeJob) -> ModelWriter:
    side_files, _ = merged_side_files(job)
    lasting = json.dumps(lasting_recipe(job.recipe), separators=(",", ":"))
    return ModelWriter(
        job.target,
        [task.info for task in job.tasks.values()],
        shard_bytes=job.recipe.shard_bytes,
        side_files=side_files,
        metadata={"format": "pt", "deltaworks_recipe": lasting},
    )


class _Pass:
    """One pass over all tensors: some merges survey, others merge."""

    def __init__(self, models: list[FanModel], number: int, tally: Tally) -> None:
        self._surveying = [one for one in models if len(one.job.method.surveys) > number]
        self._merging = [one for one in models if len(one.job.method.surveys) == number]
        self._number, self._tally = number, tally
        self._all = [*self._surveying, *self._merging]

    def run(self) -> None:
        if not self._all:
            return
        recipe = self._all[0].job.recipe
        names = dict.fromkeys(name for one in self._all for name in one.job.tasks)
        run_pipeline(
            [self._item(name) for name in names],
            Steps(self._read, self._compute, self._write),
            budget=ByteBudget(recipe.memory_bytes),
            threads=n_workers(recipe.threads),
            tally=self._tally,
        )
        for model in self._surveying:
            if model.error is None:
                self._finish(model)

    def _finish(self, model: FanModel) -> None:
        survey = model.job.method.surveys[self._number]
        options = next(
            (task.options for task in model.job.tasks.values() if task.method is model.job.method),
            None,
        )
        try:
            model.facts.pooled = survey.finish(model.total, options, model.facts.pooled)
        except AppError as error:
            model.fail(error)
        model.total = None

    def _item(self, name: str) -> WorkItem:
        jobs = [one.job for one in self._all if name in one.job.tasks]
        infos = {key: jobs[0].models.opened[key[0]].info(key[1]) for key in self._keys(name)}
        read = sum(info.nbytes for info in infos.values())
        count = jobs[0].tasks[name].info.n_elements
        work = max(job.method.working_bytes for job in jobs) * count
        write = sum(
            one.job.tasks[name].info.nbytes for one in self._merging if name in one.job.tasks
        )
        # Base and changes in float32 serve all methods.
        shared = 4 * count * (len(infos) + 1)
        stage = "surveying" if not self._merging else "merging"
        return WorkItem(name, stage, read, write, read + work + write + shared, tensor=name)

    def _keys(self, name: str) -> set[_Key]:
        """Name every tensor of every model that somebody needs."""
        tasks = [one.job.tasks[name] for one in self._all if name in one.job.tasks]
        return {(source.model, source.name) for task in tasks for source in task.read}

    def _read(self, item: WorkItem) -> dict[_Key, Tensor]:
        job = self._all[0].job
        found = {}
        for model, name in sorted(self._keys(item.tensor)):
            words = prefetch(job.words(Source(model, name)))
            found[model, name] = words_tensor(words, job.dtype(Source(model, name)))
        return found

    def _compute(self, item: WorkItem, tensors: dict[_Key, Tensor]) -> list[Any]:
        """Give for every model its statistics, or the merged words and their geometry."""
        name = item.tensor
        changes = _Changes(tensors)
        found: list[Any] = []
        for model in self._all:
            task = model.job.tasks.get(name)
            found.append(None)
            if task is None or model.error is not None:
                continue
            started = time.thread_time()
            try:
                found[-1] = self._one(model, task, tensors, changes)
            except CancelledError:
                raise
            except AppError as error:
                model.fail(error)
            with model.lock:
                model.seconds += time.thread_time() - started - changes.take_seconds()
        return found

    def _one(
        self, model: FanModel, task: MergeTask, tensors: dict[_Key, Tensor], changes: _Changes
    ) -> Any:
        if model in self._merging:
            merged = _merged(model, task, tensors)
            return tensor_words(merged), changes.geometry(merged, task, len(model.job.experts))
        if task.method is not model.job.method:
            return None
        inputs = model.facts.complete(model.job, task, _inputs(model.job, task, tensors))
        return model.job.method.surveys[self._number].gather(inputs, task.options)

    def _write(self, item: WorkItem, found: list[Any]) -> None:
        for model, one in zip(self._all, found, strict=True):
            if one is None or model.error is not None:
                continue
            if model in self._merging:
                words, geometry = one
                model.writer.write(item.tensor, words)
                if geometry is not None:
                    model.geometry.add(geometry)
                continue
            survey = model.job.method.surveys[self._number]
            model.total = one if model.total is None else survey.add(model.total, one)
        self._all[0].job.release(self._all[0].job.tasks[item.tensor])


class _Changes:
    """The experts' changes of one tensor, found once for the geometry of all results."""

    def __init__(self, tensors: dict[_Key, Tensor]) -> None:
        self._tensors = tensors
        self._base: Tensor | None = None
        self._deltas: dict[int, Tensor] = {}
        self._seconds = 0.0

    def geometry(self, merged: Tensor, task: MergeTask, n_experts: int) -> Geometry | None:
        """Compare a result with the changes; None where the base has no such tensor."""
        started = time.thread_time()
        base = next((one for (model, _), one in self._tensors.items() if model == BASE), None)
        found = None
        if base is not None and base.is_floating_point() and task.copied is None:
            if self._base is None:
                self._base = base.float()
                self._deltas = {
                    model: one.float() - self._base
                    for (model, _), one in self._tensors.items()
                    if model != BASE
                }
            found = geometry_of(merged, self._base, self._deltas, n_experts)
        self._seconds += time.thread_time() - started
        return found

    def take_seconds(self) -> float:
        """Give the time spent here since the last call, which no method is to blame for."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


def _inputs(job: MergeJob, task: MergeTask, tensors: dict[_Key, Tensor]) -> MergeInputs:
    experts = tuple(
        MergeExpert(tensors[source.model, source.name], source.options) for source in task.sources
    )
    base = None if task.base is None else tensors[task.base.model, task.base.name]
    shape = tuple(experts[0].tensor.shape)
    return MergeInputs(TensorSpec(task.info.name, shape, job.recipe.seed), base, experts)


def _merged(model: FanModel, task: MergeTask, tensors: dict[_Key, Tensor]) -> Tensor:
    """Merge a tensor and round it once."""
    import torch

    dtype = torch_dtype(task.info.dtype)
    if task.copied is not None:
        copied = tensors[task.copied.model, task.copied.name]
        return copied.to(dtype)
    assert task.method is not None
    inputs = model.facts.complete(model.job, task, _inputs(model.job, task, tensors))
    rounded = task.method.merge(inputs, task.options).to(dtype)
    if dtype == torch.float16 and not torch.isfinite(rounded).all():
        raise NotFiniteError(
            "values do not fit into F16", where=task.info.name, fix="Choose BF16 or F32."
        )
    return rounded
