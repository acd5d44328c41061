"""Merging, planned: which tensor comes from where, from headers alone and without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from deltaworks.checkpoints import roles_of
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.tensors import DTYPE_BYTES, FLOATING, TensorInfo
from deltaworks.engine import checks
from deltaworks.engine.inputs import open_input
from deltaworks.engine.plan_types import OutputPlan, Plan, WorkItem
from deltaworks.errors import AppError, MismatchError, OptionError
from deltaworks.methods import merging_method
from deltaworks.methods.merging import MERGING
from deltaworks.methods.method import MergingMethod
from deltaworks.options import Options, read_options
from deltaworks.recipes.naming import display_name, distinct
from deltaworks.recipes.schema import MergeRecipe

_CHUNK = 1 << 22
"""Elements of a work item, for methods that may be split."""
_SMALLEST_CHUNK = 1 << 16
_COPY_BYTES = 12
"""Bytes a number that cutting up a copy allows for."""
_SIDE_BYTES = 64_000
"""Room for headers, index and recipe."""


@dataclass(frozen=True)
class MergeTask:
    """Where one tensor of the result comes from.

    Args:
        info: of the result.
        sources: experts that take part, by their place in the recipe; empty for a copy.
        copied: index of the model a copy comes from, -1 for the base; None for a merge.
        method: the recipe's, or the plain mean where the base has no such tensor.
    """

    info: TensorInfo
    sources: tuple[int, ...] = ()
    copied: int | None = None
    method: MergingMethod | None = None


@dataclass(frozen=True)
class MergeJob:
    """Everything that is known before the first tensor is read."""

    recipe: MergeRecipe
    base: Checkpoint | None
    experts: tuple[Checkpoint, ...]
    method: MergingMethod
    options: Options
    expert_options: tuple[Options, ...]
    tasks: dict[str, MergeTask]
    notes: tuple[str, ...] = field(default=())

    @property
    def leader(self) -> Checkpoint:
        """Whose config, tokenizer and dtypes the result has."""
        return self.base or self.experts[0]

    @property
    def target(self) -> Path:
        """Folder of the result."""
        return Path(self.recipe.output)

    def model(self, index: int) -> Checkpoint:
        """Give an expert by its place, or the base for -1."""
        if index >= 0:
            return self.experts[index]
        assert self.base is not None
        return self.base

    def base_of(self, task: MergeTask) -> Checkpoint | None:
        """Give the base where it takes part in a tensor's arithmetic."""
        return self.base if task.method and _takes_base(task.method) else None

    def plan(self) -> Plan:
        """Give the plan; its items know which rows of which tensor they treat."""
        items = tuple(item for task in self.tasks.values() for item in self._items(task))
        n_bytes = sum(task.info.nbytes for task in self.tasks.values())
        extra = _SIDE_BYTES + sum(path.stat().st_size for path in self.leader.side_files.values())
        extra += 200 * len(self.tasks)
        plural = "s" * (len(self.experts) > 1)
        return Plan(
            title=f"Merge {len(self.experts)} expert{plural} with {self.method.title}",
            items=items,
            outputs=(OutputPlan(str(self.target), n_bytes, n_bytes + extra),),
            original_bytes=sum(expert.nbytes for expert in self.experts),
            notes=(*self.notes, *checks.space_note(self.target, n_bytes + extra)),
        )

    def _items(self, task: MergeTask) -> Iterator[WorkItem]:
        info = task.info
        models = self._read_by(task)
        for rows in self._spans(task):
            share = (rows[1] - rows[0]) / info.shape[0] if rows else 1.0
            count = int(info.n_elements * share)
            read = sum(int(model.info(info.name).nbytes * share) for model in models)
            write = count * DTYPE_BYTES[info.dtype]
            work = task.method.working_bytes * count if task.method else 0
            suffix = f"[{rows[0]}:{rows[1]}]" if rows else ""
            yield WorkItem(
                id=info.name + suffix,
                stage="tensors",
                read_bytes=read,
                write_bytes=write,
                peak_bytes=read + work + write,
                tensor=info.name,
                rows=rows,
            )

    def _read_by(self, task: MergeTask) -> list[Checkpoint]:
        if task.copied is not None:
            return [self.model(task.copied)]
        assert task.method is not None
        base = self.base_of(task)
        return [*([base] if base else []), *(self.experts[source] for source in task.sources)]

    def _spans(self, task: MergeTask) -> Iterator[tuple[int, int] | None]:
        """Cut a large tensor by rows where the method allows it; copies always may."""
        info = task.info
        work = task.method.working_bytes if task.method else _COPY_BYTES
        per_element = work + sum(
            DTYPE_BYTES[model.info(info.name).dtype] for model in self._read_by(task)
        )
        limit = min(_CHUNK, max(_SMALLEST_CHUNK, self.recipe.memory_bytes // (4 * per_element)))
        may_split = task.method is None or task.method.is_elementwise
        if not may_split or not info.shape or info.n_elements <= limit:
            yield None
            return
        step = max(1, limit * info.shape[0] // info.n_elements)
        for start in range(0, info.shape[0], step):
            yield start, min(start + step, info.shape[0])


def open_merge(recipe: MergeRecipe, open_files: ExitStack, *, resume: bool = False) -> MergeJob:
    """Open and check everything; several faults are shown together."""
    faults: list[AppError] = list(checks.check_device(recipe.device))
    base = open_input(recipe.base.path, None, open_files, faults) if recipe.base else None
    experts = [open_input(expert.model.path, base, open_files, faults) for expert in recipe.experts]
    method, options, expert_options = _method(recipe, faults)
    checks.raise_together(faults)
    assert method is not None
    assert options is not None
    models = tuple(expert for expert in experts if expert is not None)
    tasks, notes = _Sorter(recipe, base, models, method).tasks(faults)
    job = MergeJob(recipe, base, models, method, options, expert_options, tasks, tuple(notes))
    faults += checks.check_target(job.target, [*models, *([base] if base else [])])
    if not resume:  # what is there already takes no more space: the writer knows
        faults += checks.check_space(job.target, job.plan().write_bytes)
    checks.raise_together(faults)
    return job


def _method(
    recipe: MergeRecipe, faults: list[AppError]
) -> tuple[MergingMethod | None, Options | None, tuple[Options, ...]]:
    setting = recipe.setting
    try:
        method = merging_method(setting.method)
    except OptionError as error:
        faults.append(error)
        return None, None, ()
    where = f"method '{method.id}'"
    options: Options | None = None
    each: list[Options] = []
    try:
        options = read_options(method.options, setting.options, where=where)
    except OptionError as error:
        faults.append(error)
    for expert in recipe.experts:
        name = display_name(expert.model.path, expert.model.name)
        try:
            each.append(read_options(method.expert_options, expert.options, where=f"expert {name}"))
        except OptionError as error:
            faults.append(error)
    faults += _needs(recipe, method, where)
    if recipe.out_dtype and recipe.out_dtype not in FLOATING:
        known = ", ".join(sorted(FLOATING))
        what = f"out_dtype is '{recipe.out_dtype}' (known: {known})"
        faults.append(OptionError(what, fix="Choose one of them, or leave it empty."))
    return method, options, tuple(each)


def _needs(recipe: MergeRecipe, method: MergingMethod, where: str) -> Iterator[AppError]:
    needs, given = method.needs, len(recipe.experts)
    if needs.base and recipe.base is None:
        yield OptionError("needs a base", where=where, fix="Choose the experts' base.")
    if given < needs.min_experts or given > (needs.max_experts or given):
        bounds = str(needs.min_experts)
        if needs.max_experts != needs.min_experts:
            bounds += f" to {needs.max_experts}" if needs.max_experts else " or more"
        yield OptionError(f"takes {bounds} experts, {given} given", where=where)


def _takes_base(method: MergingMethod) -> bool:
    """Whether a base that is there takes part in the arithmetic."""
    return method.needs.base or method.needs.takes_base


class _Sorter:
    """Decides for every tensor where it comes from."""

    def __init__(
        self,
        recipe: MergeRecipe,
        base: Checkpoint | None,
        experts: Sequence[Checkpoint],
        method: MergingMethod,
    ) -> None:
        self._base, self._experts, self._method = base, experts, method
        self._out_dtype = recipe.out_dtype
        self._names = distinct(
            [display_name(expert.model.path, expert.model.name) for expert in recipe.experts]
        )
        self._notes: dict[str, list[str]] = {}

    def tasks(self, faults: list[AppError]) -> tuple[dict[str, MergeTask], Iterator[str]]:
        """Give a task for every tensor of any model, in the leader's order."""
        faults += self._misfits()
        leader = self._base or self._experts[0]
        models = [leader, *self._experts]
        names = dict.fromkeys(name for model in models for name in model.names)
        infos = [self._having(name).info(name) for name in names]
        roles = roles_of(infos, leader.config)
        if not faults:
            faults += self._shape_faults(infos)
        tasks = {
            info.name: self._task(info, is_buffer=roles[info.name].role == "buffer")
            for info in infos
        }
        return tasks, self._texts()

    def _misfits(self) -> Iterator[AppError]:
        leader = self._base or self._experts[0]
        places = [expert.path.resolve() for expert in self._experts]
        for place in {place for place in places if places.count(place) > 1}:
            yield OptionError("is listed twice among the experts", where=str(place))
        for expert in self._experts:
            yield from checks.check_architecture(leader, expert)
            if self._base and _takes_base(self._method):
                yield from checks.check_not_same(self._base, expert)

    def _shape_faults(self, infos: Sequence[TensorInfo]) -> Iterator[AppError]:
        for info in infos:
            for name, expert in zip(self._names, self._experts, strict=True):
                if info.name in expert and expert.info(info.name).shape != info.shape:
                    theirs = expert.info(info.name).shape
                    yield MismatchError(
                        f"shape {theirs} in {name}, {info.shape} in {self._leader_name()}",
                        where=info.name,
                        fix="Merge models of the same shapes and vocabulary.",
                    )

    def _leader_name(self) -> str:
        return "the base" if self._base else self._names[0]

    def _having(self, name: str) -> Checkpoint:
        if self._base and name in self._base:
            return self._base
        return next(expert for expert in self._experts if name in expert)

    def _task(self, info: TensorInfo, *, is_buffer: bool) -> MergeTask:
        having = tuple(number for number, expert in enumerate(self._experts) if info.name in expert)
        in_base = self._base is not None and info.name in self._base
        first = -1 if in_base else having[0]
        if not info.is_floating or is_buffer:
            kind = "buffers" if is_buffer else f"{info.dtype} numbers"
            self._note(f"copied from {self._source(first)}, as {kind} are not averaged", info)
            return MergeTask(info, copied=first)
        out = TensorInfo(info.name, info.shape, self._out_dtype or info.dtype)
        if not having:
            self._note("copied from the base: no expert has them", info)
            return MergeTask(out, copied=-1)
        if self._base and _takes_base(self._method) and not in_base:
            if len(having) == 1:
                self._note(f"copied from {self._source(first)}: the base has none", info)
                return MergeTask(out, copied=first)
            self._note("averaged: the base has none", info)
            return MergeTask(out, having, method=MERGING["linear"])
        self._note_missing(info, having)
        return MergeTask(out, having, method=self._method)

    def _source(self, index: int) -> str:
        return "the base" if index < 0 else self._names[index]

    def _note_missing(self, info: TensorInfo, having: Sequence[int]) -> None:
        missing = [name for number, name in enumerate(self._names) if number not in having]
        if missing:
            self._note(f"merged without {', '.join(missing)}, which has none", info)

    def _note(self, text: str, info: TensorInfo) -> None:
        self._notes.setdefault(text, []).append(info.name)

    def _texts(self) -> Iterator[str]:
        for text, names in self._notes.items():
            some = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            count = "1 tensor" if len(names) == 1 else f"{len(names)} tensors"
            yield f"{count} {text} ({some})."
