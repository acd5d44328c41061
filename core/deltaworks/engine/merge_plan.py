"""Merging, planned: which tensor comes from where, from headers alone and without torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.tensors import DTYPE_BYTES, FLOATING
from deltaworks.engine import checks
from deltaworks.engine.merge_checks import check_packed, checks_of, fault_check
from deltaworks.engine.merge_facts import sparsifier_of
from deltaworks.engine.merge_inputs import (
    BASE,
    MergeModels,
    labels_of,
    misfits,
    named_models,
    open_models,
)
from deltaworks.engine.merge_table import parameters_of
from deltaworks.engine.merge_tasks import Sorter, known_options, takes_base
from deltaworks.engine.merge_types import MergeTask, Source
from deltaworks.engine.merge_vocabulary import Alignment, align
from deltaworks.engine.plan_types import Check, OutputPlan, Plan, WorkItem
from deltaworks.errors import AppError, OptionError
from deltaworks.methods import merging_method
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.recipes.resolving import check_patterns
from deltaworks.recipes.schema import MergeRecipe

if TYPE_CHECKING:
    import numpy as np

    Words = np.ndarray[Any, Any]

_CHUNK = 1 << 22
"""Elements of a work item, for methods that may be split."""
_SMALLEST_CHUNK = 1 << 16
_STREAM_BYTES = 1 << 22
"""Buffers of a thread that merges piece by piece."""
_COPY_BYTES = 12
"""Bytes a number that cutting up a copy allows for."""
_SIDE_BYTES = 64_000
"""Room for headers, index and recipe."""


@dataclass(frozen=True)
class MergeJob:
    """Everything that is known before the first tensor is read.

    Args:
        recipe: what to do.
        models: base and experts.
        method: the recipe's.
        tasks: what is done with every tensor of the result, by its name.
        notes: what the user should know.
        alignment: what was done to the models' vocabularies.
    """

    recipe: MergeRecipe
    models: MergeModels
    method: MergingMethod
    tasks: dict[str, MergeTask]
    notes: tuple[str, ...]
    alignment: Alignment

    @property
    def base(self) -> Checkpoint | None:
        """The base, if there is one."""
        return self.models.opened.get(BASE)

    @property
    def experts(self) -> tuple[Checkpoint, ...]:
        """In the recipe's order."""
        return tuple(model for place, model in self.models.opened.items() if place != BASE)

    @property
    def inputs(self) -> tuple[Checkpoint, ...]:
        """All models, the base first."""
        return tuple(self.models.opened.values())

    @property
    def leader(self) -> Checkpoint:
        """Whose config, tokenizer and dtypes the result has."""
        return self.models.opened[self.models.leader]

    @property
    def target(self) -> Path:
        """Folder of the result."""
        return Path(self.recipe.output)

    def dtype(self, source: Source) -> str:
        """Give the dtype in which a tensor is stored."""
        return self.models.opened[source.model].info(source.name).dtype

    def words(self, source: Source, rows: slice | None = None) -> Words:
        """Read a tensor, or some of its rows."""
        return self.models.opened[source.model].read_words(source.name, rows)

    def release(self, task: MergeTask) -> None:
        """Give a tensor's memory back, in every model that was read for it."""
        for source in (*task.read, *(task.sources if task.copied else ())):
            self.models.opened[source.model].release(source.name)

    def plan(self) -> Plan:
        """Give the plan; its items know which rows of which tensor they treat."""
        output = self.output()
        plural = "s" * (len(self.experts) > 1)
        return Plan(
            title=f"Merge {len(self.experts)} expert{plural} with {self.method.title}",
            items=tuple(item for task in self.tasks.values() for item in self.items_of(task)),
            outputs=(output,),
            original_bytes=sum(expert.nbytes for expert in self.experts),
            notes=(*self.notes, *checks.space_note(self.target, output.bytes_high)),
            checks=checks_of(self),
            parameters=parameters_of(self),
        )

    def output(self) -> OutputPlan:
        """Say what will be written."""
        n_bytes = sum(task.info.nbytes for task in self.tasks.values())
        extra = _SIDE_BYTES + sum(path.stat().st_size for path in self.leader.side_files.values())
        extra += 200 * len(self.tasks)
        return OutputPlan(str(self.target), n_bytes, n_bytes + extra)

    def items_of(self, task: MergeTask) -> Iterator[WorkItem]:
        """Cut the work on a tensor into items."""
        info = task.info
        for rows in self._spans(task):
            share = (rows[1] - rows[0]) / info.shape[0] if rows else 1.0
            count = int(info.n_elements * share)
            width = sum(DTYPE_BYTES[self.dtype(source)] for source in task.read)
            read, write = int(info.n_elements * width * share), count * DTYPE_BYTES[info.dtype]
            streams = task.method is not None and task.method.stream is not None
            work = task.method.working_bytes * count if task.method else 0
            held = read + write
            if streams and self.recipe.pre is None:
                held = min(held, _STREAM_BYTES)
            suffix = f"[{rows[0]}:{rows[1]}]" if rows else ""
            yield WorkItem(
                id=info.name + suffix,
                stage="tensors",
                read_bytes=read,
                write_bytes=write,
                peak_bytes=held + work,
                tensor=info.name,
                rows=rows,
            )

    def _spans(self, task: MergeTask) -> Iterator[tuple[int, int] | None]:
        """Cut a large tensor by rows where the method allows it; copies always may."""
        info = task.info
        work = task.method.working_bytes if task.method else _COPY_BYTES
        per_element = work + sum(DTYPE_BYTES[self.dtype(source)] for source in task.read)
        limit = min(_CHUNK, max(_SMALLEST_CHUNK, self.recipe.memory_bytes // (4 * per_element)))
        may_split = task.method is None or (task.method.is_elementwise and self.recipe.pre is None)
        if not may_split or not info.shape or info.n_elements <= limit:
            yield None
            return
        step = max(1, limit * info.shape[0] // info.n_elements)
        for start in range(0, info.shape[0], step):
            yield start, min(start + step, info.shape[0])


def open_merge(recipe: MergeRecipe, open_files: ExitStack, *, resume: bool = False) -> MergeJob:
    """Open and check everything; several faults are shown together."""
    job, faults = examine_merge(recipe, open_files, resume=resume)
    checks.raise_together(faults)
    assert job is not None
    return job


def examine_merge(
    recipe: MergeRecipe, open_files: ExitStack, *, resume: bool = False
) -> tuple[MergeJob | None, list[AppError]]:
    """Open and check everything.

    Returns:
        The job, None where the inputs or the method are not known; and every fault.
    """
    faults: list[AppError] = list(checks.check_device(recipe.device))
    opened = open_models(recipe, open_files, faults)
    method = _method(recipe, faults)
    if faults or method is None:
        return None, faults
    labels = labels_of(recipe)
    faults += misfits(recipe, opened, takes_base=takes_base(method))
    for place, model in opened.items():
        faults += check_packed(labels[place], model)
    alignment = align(recipe, opened, labels, faults)
    models = named_models(recipe, alignment.opened)
    sorter = Sorter(recipe, models, method)
    tasks = sorter.tasks(faults)
    notes = (*alignment.notes, *models.notes(), *sorter.notes())
    job = MergeJob(recipe, models, method, tasks, notes, alignment)
    faults += checks.check_target(job.target, job.inputs)
    if not resume:  # what is there already takes no more space: the writer knows
        faults += checks.check_space(job.target, job.output().bytes_high)
    return job, faults


def preflight(recipe: MergeRecipe) -> tuple[Check, ...]:
    """Look at everything before a merge; faults are among what was found, not raised."""
    with ExitStack() as open_files:
        job, faults = examine_merge(recipe, open_files)
        found = checks_of(job) if job is not None and job.tasks else ()
        made = tuple(map(fault_check, faults))
        wrong = {check.subject for check in made}
        return (*made, *(check for check in found if check.subject not in wrong))


def _method(recipe: MergeRecipe, faults: list[AppError]) -> MergingMethod | None:
    try:
        method = merging_method(recipe.setting.method)
    except OptionError as error:
        faults.append(error)
        return None
    faults += check_patterns(recipe, known_options(recipe, method))
    faults += _needs(recipe, method, f"method '{method.id}'")
    try:
        sparsifier_of(recipe.pre)
    except OptionError as error:
        faults.append(error)
    if recipe.pre is not None and recipe.base is None:
        faults.append(OptionError("a sparsifier needs a base", fix="Choose the experts' base."))
    for name in ("dtype", "out_dtype"):
        value = getattr(recipe, name)
        if value and value not in FLOATING:
            known = ", ".join(sorted(FLOATING))
            what = f"{name} is '{value}' (known: {known})"
            faults.append(OptionError(what, fix="Choose one of them, or leave it empty."))
    return method


def _needs(recipe: MergeRecipe, method: MergingMethod, where: str) -> Iterator[AppError]:
    needs = method.needs
    if needs.base and recipe.base is None:
        yield OptionError("needs a base", where=where, fix="Choose the experts' base.")
    if needs.statistics and not recipe.calibration.text:
        labels = labels_of(recipe)
        for place, expert in enumerate(recipe.experts):
            if not expert.texts:
                yield OptionError(
                    f"needs texts of each expert's task, {labels[place]} has none",
                    where=where,
                    fix="Name a .txt or .jsonl file in 'texts' of the expert.",
                )
    for given in sorted(_expert_counts(recipe)):
        if given < needs.min_experts or given > (needs.max_experts or given):
            bounds = str(needs.min_experts)
            if needs.max_experts != needs.min_experts:
                bounds += f" to {needs.max_experts}" if needs.max_experts else " or more"
            yield OptionError(f"takes {bounds} experts, {given} given", where=where)


def _expert_counts(recipe: MergeRecipe) -> set[int]:
    """Count the experts, of every slice where there are slices."""
    slices = [*recipe.slices, *(one for module in recipe.modules for one in module.slices)]
    if not slices:
        return {len(recipe.experts)}
    return {
        sum(source.model != (BASE if one.base is None else one.base) for source in one.sources)
        for one in slices
    }
