"""Measures how far the models of a fusion are from their base: one pass, before the merge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deltaworks.engine.budget import ByteBudget
from deltaworks.engine.environment import n_workers
from deltaworks.engine.merge_inputs import BASE
from deltaworks.engine.merge_types import Source
from deltaworks.engine.pipeline import Steps, Tally, run_pipeline
from deltaworks.engine.plan_types import WorkItem
from deltaworks.methods.fusion.family import FamilyCheck, Products, check_family, products_of
from deltaworks.methods.fusion.visionfuse import VisionFuseOptions
from deltaworks.numerics.words import to_float32

if TYPE_CHECKING:
    import numpy as np

    from deltaworks.engine.merge_plan import MergeJob
    from deltaworks.engine.merge_types import MergeTask

    Words = np.ndarray[Any, Any]

_PIECE = 1 << 22
"""Numbers of a tensor that are read together."""


def family_items(job: MergeJob) -> tuple[WorkItem, ...]:
    """List what is read to know the family: base and models, tensor by tensor."""
    return tuple(item for task in _measured(job) for item in _items(job, task))


def measure_family(
    job: MergeJob, labels: Sequence[str], options: VisionFuseOptions, tally: Tally
) -> FamilyCheck:
    """Read base and language models once; torch is not needed.

    Args:
        job: of the merge.
        labels: of the models.
        options: thresholds of the warnings.
        tally: counts and stops.
    """
    tasks = {task.info.name: task for task in _measured(job)}
    found: dict[int | None, Products] = {}

    def read(item: WorkItem) -> list[Words]:
        rows = slice(*item.rows) if item.rows else None
        return [_float(job, source, rows) for source in _sources(tasks[item.tensor])]

    def add(item: WorkItem, products: Products) -> None:
        layer = tasks[item.tensor].layer
        found[layer] = found[layer] + products if layer in found else products

    run_pipeline(
        family_items(job),
        Steps(read, lambda _, words: products_of(words[0], words[1:]), add, needs_torch=False),
        budget=ByteBudget(job.recipe.memory_bytes),
        threads=n_workers(job.recipe.threads),
        tally=tally,
    )
    return check_family(labels, found, options)


def _float(job: MergeJob, source: Source, rows: slice | None) -> Words:
    return to_float32(job.words(source, rows), job.dtype(source))


def _measured(job: MergeJob) -> Iterator[MergeTask]:
    """Give the tensors that are merged and that the base and all models have."""
    count = len(job.recipe.experts)
    for task in job.tasks.values():
        if task.method is not None and task.info.is_floating and len(task.sources) == count:
            yield task


def _sources(task: MergeTask) -> list[Source]:
    """Give the base's tensor and the models', whether or not the method looks at the base."""
    first = task.sources[0]
    base = task.base or replace(first, model=BASE, name=task.info.name.split(".", 1)[1])
    return [base, *task.sources]


def _items(job: MergeJob, task: MergeTask) -> Iterator[WorkItem]:
    info = task.info
    models = 1 + len(task.sources)
    step = info.shape[0] if info.shape else 1
    if info.n_elements > _PIECE:
        step = max(1, _PIECE * info.shape[0] // info.n_elements)
    width = sum(job.models.opened[s.model].info(s.name).nbytes for s in _sources(task))
    for start in range(0, info.shape[0] if info.shape else 1, step):
        rows = (start, min(start + step, info.shape[0])) if info.shape else None
        share = (rows[1] - rows[0]) / info.shape[0] if rows else 1.0
        read = int(width * share)
        held = read + int(4 * models * info.n_elements * share) + (1 << 23)
        suffix = f"[{rows[0]}:{rows[1]}]" if rows else ""
        yield WorkItem(
            f"family:{info.name}{suffix}", "family", read, 0, held, tensor=info.name, rows=rows
        )
