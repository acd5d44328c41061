"""Compressing, planned: which tensor is stored how, from headers alone and without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints import roles_of
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.engine import checks
from deltaworks.engine.calibrating import (
    calibration_item,
    calibration_notes,
    check_calibration,
    gram_bytes,
    is_calibrated,
)
from deltaworks.engine.fitting import fitting_items
from deltaworks.engine.inputs import open_input
from deltaworks.engine.pairing import MATRICES, partner_of, twins_of
from deltaworks.engine.plan_types import OutputPlan, Plan, WorkItem
from deltaworks.errors import AppError, OptionError
from deltaworks.formatting import size
from deltaworks.methods import compression_method
from deltaworks.methods.compression import COMPRESSION
from deltaworks.options import Options, read_options
from deltaworks.recipes.naming import delta_name, display_name, distinct, setting_labels
from deltaworks.recipes.schema import CompressRecipe, Setting

if TYPE_CHECKING:
    from deltaworks.methods.compression_record import CompressionMethod

EXACT = COMPRESSION["lossless"]
"""Stores what a lossy method leaves alone."""

_EXACT_COPIES = 7
"""Copies of a tensor's words that exact storage and its check hold at most."""
_PART_OVERHEAD = 512
"""Bytes a stored tensor may take beyond its numbers: padding, tables, chunk offsets."""
_SPREAD = 1.05
"""How far parts may exceed what the shape alone tells."""


@dataclass(frozen=True)
class Choice:
    """One setting of the recipe, checked."""

    method: CompressionMethod
    options: Options
    label: str

    @property
    def values(self) -> dict[str, Any]:
        """Every option with its value, as plain data."""
        return self.options.model_dump(mode="json")


@dataclass(frozen=True)
class TensorTask:
    """How one tensor of an expert is stored.

    Args:
        item: its work item.
        info: of the expert's tensor.
        base: of the base's tensor, when a delta can be taken; else None.
        is_treated: whether the chosen method treats it, lossy or not.
        reason: why a lossy method leaves it alone; empty when it does not.
        is_usual: whether that is so by the rule and nothing to worry about.
        is_transposed: stored ``(in, out)``; lossy methods see it as ``(out, in)``.
        twins: earlier tensors of the expert that it may be tied to.
    """

    item: WorkItem
    info: TensorInfo
    base: TensorInfo | None
    is_treated: bool
    reason: str = ""
    is_usual: bool = True
    is_transposed: bool = False
    twins: tuple[str, ...] = ()

    @property
    def codec_shape(self) -> tuple[int, ...]:
        """Shape that lossy methods see."""
        shape = self.info.shape
        return (*shape[:-2], shape[-1], shape[-2]) if self.is_transposed else shape

    @property
    def base_rows(self) -> int:
        """Rows of a base that has fewer or more than the expert; else 0."""
        if self.base is None or self.base.shape == self.info.shape:
            return 0
        return self.base.shape[0]


@dataclass(frozen=True)
class ExpertJob:
    """One expert with its tensors and the files it becomes, one a setting."""

    name: str
    checkpoint: Checkpoint
    tasks: tuple[TensorTask, ...]
    targets: tuple[Path, ...]


@dataclass(frozen=True)
class CompressJob:
    """Everything that is known before the first tensor is read."""

    recipe: CompressRecipe
    base: Checkpoint
    choices: tuple[Choice, ...]
    experts: tuple[ExpertJob, ...]

    def plan(self) -> Plan:
        """Give the plan."""
        n_experts = len(self.experts)
        titles = list(dict.fromkeys(choice.method.title for choice in self.choices))
        return Plan(
            title=f"Compress {n_experts} expert{'s' * (n_experts > 1)} with {', '.join(titles)}",
            items=tuple(item for job in self.experts for item in self._items(job)),
            outputs=self.outputs,
            original_bytes=sum(weight_bytes(job.checkpoint) for job in self.experts),
            notes=(*self.warnings, *self.notes),
        )

    @cached_property
    def outputs(self) -> tuple[OutputPlan, ...]:
        """Every file to be written, expert by expert."""
        return tuple(output for job in self.experts for output in self._outputs(job))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know and may not expect."""
        n_bytes = sum(output.bytes_high for output in self.outputs)
        room = checks.space_note(Path(self.recipe.output), n_bytes)
        return (*(text for job in self.experts for text in _texts(job, is_usual=False)), *room)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is stored exactly by the rule."""
        kept = tuple(text for job in self.experts for text in _texts(job, is_usual=True))
        if not is_calibrated(self.recipe, self.choices):
            return kept
        return (*calibration_notes(self.experts, self.recipe.calibration), *kept)

    def _items(self, job: ExpertJob) -> Iterator[WorkItem]:
        """Give the pass over texts, if there is one, and every tensor."""
        number = self.experts.index(job)
        if is_calibrated(self.recipe, self.choices):
            yield calibration_item(number, job, self.recipe.calibration, len(self.experts))
        yield from fitting_items(number, job, self)
        yield from (task.item for task in job.tasks)

    def _outputs(self, job: ExpertJob) -> Iterator[OutputPlan]:
        side = sum(path.stat().st_size for path in job.checkpoint.side_files.values())
        side += _header_bytes(job)
        for choice, target in zip(self.choices, job.targets, strict=True):
            low = sum(stored_bytes(task, choice, high=False) for task in job.tasks)
            high = sum(stored_bytes(task, choice, high=True) for task in job.tasks)
            yield OutputPlan(str(target), low, high + side)


def open_compress(
    recipe: CompressRecipe, open_files: ExitStack, *, resume: bool = False
) -> CompressJob:
    """Open and check everything; several faults are shown together.

    Args:
        recipe: what to do.
        open_files: closes the checkpoints.
        resume: outputs may be there, in part or as a whole.
    """
    faults: list[AppError] = list(checks.check_device(recipe.device))
    choices = _choices(recipe.settings, faults)
    base = open_input(recipe.base.path, None, open_files, faults)
    found = [open_input(ref.path, base, open_files, faults) for ref in recipe.experts]
    checks.raise_together(faults)
    assert base is not None
    experts = [expert for expert in found if expert is not None]
    faults += check_calibration(recipe, choices, experts)
    names = distinct([display_name(ref.path, ref.name) for ref in recipe.experts])
    jobs = tuple(
        _expert_job(number, name, expert, base, choices, recipe, faults)
        for number, (name, expert) in enumerate(zip(names, experts, strict=True))
    )
    paths = [expert.path.resolve() for expert in experts]
    for path in {path for path in paths if paths.count(path) > 1}:
        faults.append(OptionError("is listed twice among the experts", where=str(path)))
    job = CompressJob(recipe, base, choices, jobs)
    for expert_job in jobs:
        for target in expert_job.targets:
            faults += checks.check_target(target, [base, *experts], may_exist=resume)
    if not resume:  # what is there already takes no more space: the writers know
        n_bytes = sum(output.bytes_high for output in job.outputs)
        faults += checks.check_space(Path(recipe.output), n_bytes)
    checks.raise_together(faults)
    return job


def weight_bytes(checkpoint: Checkpoint) -> int:
    """Bytes of the files that hold tensors, as distributed."""
    return sum(path.stat().st_size for path in checkpoint.weight_files)


def working_bytes(info: TensorInfo, method: CompressionMethod) -> int:
    """Bytes that encoding or decoding a tensor holds at most, beside inputs and parts."""
    if method.is_exact:
        return _EXACT_COPIES * info.nbytes
    return method.working_bytes * info.n_elements


def stored_bytes(task: TensorTask, choice: Choice, *, high: bool) -> int:
    """Bytes that one setting stores of one tensor, expected or at most.

    An exact tensor never takes more than itself and its padding; it may be equal to the
    base's and take nothing, which only reading can tell.
    """
    is_lossy = task.is_treated and not choice.method.is_exact
    if not is_lossy:
        options = choice.options if choice.method.is_exact else EXACT.options()
        expected = int(EXACT.stored_bits(task.info.shape, options) / 8)
        return task.info.nbytes + _PART_OVERHEAD if high else min(expected, task.info.nbytes)
    expected = int(choice.method.stored_bits(task.codec_shape, choice.options) / 8)
    return int(expected * _SPREAD) + _PART_OVERHEAD if high else expected


def _choices(settings: Sequence[Setting], faults: list[AppError]) -> tuple[Choice, ...]:
    checked: list[tuple[CompressionMethod, Options]] = []
    for setting in settings:
        try:
            method = compression_method(setting.method)
            options = read_options(
                method.options, setting.options, where=f"method '{setting.method}'"
            )
        except OptionError as error:
            faults.append(error)
            continue
        if any(known.id == method.id and before == options for known, before in checked):
            faults.append(
                OptionError(
                    "the same setting is given twice",
                    where=f"method '{method.id}'",
                    fix="Drop one.",
                )
            )
            continue
        checked.append((method, options))
    labels = setting_labels(
        [(method.id, options.model_dump(mode="json")) for method, options in checked]
    )
    return tuple(
        Choice(method, options, label)
        for (method, options), label in zip(checked, labels, strict=True)
    )


def _expert_job(
    number: int,
    name: str,
    expert: Checkpoint,
    base: Checkpoint,
    choices: Sequence[Choice],
    recipe: CompressRecipe,
    faults: list[AppError],
) -> ExpertJob:
    roles = roles_of([expert.info(tensor) for tensor in expert.names], expert.config)
    linear = [tensor for tensor in expert.names if roles[tensor].role == "linear"]
    faults += checks.check_not_same(base, expert)
    fits = checks.check_architecture(base, expert) or checks.check_shapes(base, expert, linear)
    faults += fits
    twins = twins_of([expert.info(tensor) for tensor in expert.names], roles)
    tasks = []
    for tensor in expert.names:
        info = expert.info(tensor)
        partner, why = partner_of(info, base)
        is_usual = not why
        if not why and recipe.scope == "linear2d" and roles[tensor].role != "linear":
            why = f"{_plural(roles[tensor].role)} are kept"
        if not why and recipe.scope == "linear2d" and len(info.shape) not in MATRICES:
            why = f"shape {info.shape} is no matrix"
        task = TensorTask(
            WorkItem("", "", 0, 0, 0),
            info,
            partner,
            not why,
            why,
            is_usual,
            roles[tensor].is_transposed,
            twins.get(tensor, ()),
        )
        item = _item(number, len(recipe.experts), task, choices)
        if is_calibrated(recipe, choices) and task.is_treated:
            item = replace(item, peak_bytes=item.peak_bytes + gram_bytes(task.codec_shape))
        tasks.append(replace(task, item=item))
    targets = _targets(recipe, name, choices)
    return ExpertJob(name, expert, tuple(tasks), targets)


def _plural(role: str) -> str:
    return {
        "linear": "linear layers",
        "embedding": "embeddings",
        "head": "heads",
        "norm": "norms",
        "bias": "biases",
        "router": "routers",
        "buffer": "buffers",
    }.get(role, "other tensors")


def _item(number: int, n_experts: int, task: TensorTask, choices: Sequence[Choice]) -> WorkItem:
    info = task.info
    read = info.nbytes + (task.base.nbytes if task.base else 0)
    write = sum(stored_bytes(task, choice, high=True) for choice in choices)
    methods = [choice.method for choice in choices] if task.is_treated else []
    work = max(working_bytes(info, method) for method in (EXACT, *methods))
    work += read if task.is_transposed else 0  # turned copies
    work += len(task.twins) * info.nbytes
    stage = f"expert {number + 1}/{n_experts} · tensors" if n_experts > 1 else "tensors"
    return WorkItem(
        id=f"{number}/{info.name}",
        stage=stage,
        read_bytes=read,
        write_bytes=write,
        peak_bytes=read + work + write,
        tensor=info.name,
    )


def _targets(recipe: CompressRecipe, name: str, choices: Sequence[Choice]) -> tuple[Path, ...]:
    output = Path(recipe.output)
    is_one = len(recipe.experts) == 1 and len(choices) == 1
    if is_one and output.suffix == ".safetensors" and not output.is_dir():
        return (output,)
    return tuple(output / delta_name(name, choice.method.id, choice.label) for choice in choices)


def _header_bytes(job: ExpertJob) -> int:
    """Room for the file's own header and the expert's, which is stored as well."""
    return 4096 + sum(600 + 4 * len(task.info.name) for task in job.tasks)


def _texts(job: ExpertJob, *, is_usual: bool) -> Iterator[str]:
    by_reason: dict[str, list[TensorInfo]] = {}
    for task in job.tasks:
        if task.reason and task.is_usual == is_usual:
            by_reason.setdefault(task.reason, []).append(task.info)
    for reason, infos in by_reason.items():
        names = ", ".join(info.name for info in infos[:3]) + (", …" if len(infos) > 3 else "")
        n_bytes = size(sum(info.nbytes for info in infos))
        kept = "1 tensor" if len(infos) == 1 else f"{len(infos)} tensors"
        yield f"{job.name}: {kept} ({n_bytes}) stored exactly: {reason} ({names})."
