"""A fine-tune as a LoRA adapter of its base, in PEFT's form.

Source: LoRA extraction as in arcee-ai/mergekit: the largest singular triples of every
change, ``B A`` with the singular values shared between both. What is no matrix of a linear
layer is saved as a whole where it changed. Departure: ranks may follow from the share of
each change's energy that is to be kept.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints import roles_of
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.engine import checks
from deltaworks.engine.budget import ByteBudget
from deltaworks.engine.environment import n_workers
from deltaworks.engine.execution import Run
from deltaworks.engine.inputs import open_input
from deltaworks.engine.pipeline import Steps, run_pipeline
from deltaworks.engine.plan_types import OutputPlan, Plan, WorkItem
from deltaworks.engine.reports import Artefact, Report, TensorReport
from deltaworks.errors import AppError, MismatchError
from deltaworks.methods.compression.triples import triples_of
from deltaworks.methods.compression_record import TensorPair
from deltaworks.methods.method import TensorSpec
from deltaworks.progress import JobControl
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.recipes.schema import ExtractRecipe

_PREFIX = "base_model.model."
_COPIES = 8
_FLOAT = 4


@dataclass(frozen=True)
class _Task:
    """One tensor of the expert.

    Args:
        item: its work item.
        info: as stored.
        is_linear: whether it becomes a pair of factors.
        is_transposed: stored ``(in, out)``.
    """

    item: WorkItem
    info: TensorInfo
    is_linear: bool
    is_transposed: bool

    @property
    def module(self) -> str:
        """The module it is the weight or the bias of."""
        return self.info.name.rpartition(".")[0]


@dataclass(frozen=True)
class _Found:
    """What one tensor becomes: factors, or itself, or nothing when it did not change."""

    task: _Task
    tensors: dict[str, Tensor]
    rank: int = 0
    error: float = 0.0
    energy: float = 0.0


@dataclass(frozen=True)
class ExtractJob:
    """Everything that is known before the first tensor is read."""

    recipe: ExtractRecipe
    base: Checkpoint
    expert: Checkpoint
    tasks: tuple[_Task, ...]

    def plan(self) -> Plan:
        """Give the plan."""
        most = sum(task.item.write_bytes for task in self.tasks)
        target = Path(self.recipe.output)
        name = display_name(self.recipe.expert.path, self.recipe.expert.name)
        return Plan(
            title=f"Extract an adapter from {name}",
            items=tuple(task.item for task in self.tasks),
            outputs=(OutputPlan(str(target), 0, most),),
            original_bytes=self.expert.nbytes,
            notes=tuple(checks.space_note(target, most)),
        )


def open_extract(recipe: ExtractRecipe, open_files: ExitStack) -> ExtractJob:
    """Open and check everything.

    Raises:
        AppError: it cannot be done; every fault that was found is in the text.
    """
    faults: list[AppError] = []
    base = open_input(recipe.base.path, None, open_files, faults)
    expert = open_input(recipe.expert.path, base, open_files, faults)
    checks.raise_together(faults)
    assert base is not None
    assert expert is not None
    faults += checks.check_not_same(base, expert) + checks.check_architecture(base, expert)
    tasks = tuple(_tasks(recipe, base, expert, faults))
    target = Path(recipe.output)
    faults += checks.check_target(target, [base, expert])
    faults += checks.check_space(target, sum(task.item.write_bytes for task in tasks))
    checks.raise_together(faults)
    return ExtractJob(recipe, base, expert, tasks)


def _tasks(
    recipe: ExtractRecipe, base: Checkpoint, expert: Checkpoint, faults: list[AppError]
) -> Iterator[_Task]:
    infos = [expert.info(name) for name in expert.names]
    roles = roles_of(infos, expert.config)
    for info in infos:
        role = roles[info.name]
        if role.role == "buffer" or not info.is_floating:
            continue
        if info.name not in base or base.info(info.name).shape != info.shape:
            theirs = base.info(info.name).shape if info.name in base else "nothing"
            what = f"shape {info.shape} here, {theirs} in the base; an adapter cannot change that"
            faults.append(MismatchError(what, where=info.name, fix="Compress the model instead."))
            continue
        is_linear = role.role == "linear" and len(info.shape) == 2 and info.name.endswith(".weight")
        if role.role == "linear" and not is_linear:
            what = f"a weight of shape {info.shape} that no adapter of a linear layer can change"
            faults.append(MismatchError(what, where=info.name, fix="Compress the model instead."))
            continue
        yield _Task(_item(info, recipe, is_linear=is_linear), info, is_linear, role.is_transposed)


def _item(info: TensorInfo, recipe: ExtractRecipe, *, is_linear: bool) -> WorkItem:
    write = info.nbytes
    if is_linear:
        write = min(recipe.rank, *info.shape) * sum(info.shape) * _FLOAT
    read = 2 * info.nbytes
    peak = read + write + (_COPIES * _FLOAT * info.n_elements if is_linear else 0)
    return WorkItem(info.name, "tensors", read, write, peak, tensor=info.name)


def run_extract(recipe: ExtractRecipe, control: JobControl) -> Report:
    """Write the adapter's folder.

    Raises:
        CancelledError: stopped; nothing is left behind.
        AppError: it cannot be done; nothing is left behind.
    """
    with ExitStack() as open_files:
        job = open_extract(recipe, open_files)
        tasks = {task.item.id: task for task in job.tasks}
        found: list[_Found] = []
        with Run("extract", job.plan(), control) as run:
            run_pipeline(
                [task.item for task in job.tasks],
                Steps(
                    lambda item: (job.base.read(item.tensor), job.expert.read(item.tensor)),
                    lambda item, pair: _extract(tasks[item.id], *pair, recipe),
                    lambda _, one: found.append(one),
                ),
                budget=ByteBudget(recipe.memory_bytes),
                threads=n_workers(recipe.threads),
                tally=run.tally,
            )
            if not any(one.rank for one in found):
                what = "no linear layer differs from the base, so there is nothing to adapt"
                raise MismatchError(what, where=str(job.expert.path))
            _check_biases(found)
            artefact = _write(job, found)
            run.note(_spoken(found))
            run.finish()
        return run.report(dump_recipe(recipe), [artefact])


def _extract(task: _Task, base: Tensor, tuned: Tensor, recipe: ExtractRecipe) -> _Found:
    import torch

    name = task.info.name
    if torch.equal(base, tuned):
        return _Found(task, {})
    if not task.is_linear:
        return _Found(task, {_PREFIX + name: tuned.clone()})
    if task.is_transposed:
        base, tuned = base.mT.contiguous(), tuned.mT.contiguous()
    most = min(recipe.rank, *base.shape)
    pair = TensorPair(TensorSpec(name, tuple(base.shape)), base, tuned)
    svd = triples_of(pair, most if recipe.energy == 0 else min(base.shape))[0]
    energy = float(pair.delta.double().square().sum())
    rank = _rank(svd.sigma, energy, recipe)
    root = svd.sigma[:rank].sqrt()
    right = (svd.right[:, :rank] * root).T.contiguous().to(tuned.dtype)
    left = (svd.left[:, :rank] * root).contiguous().to(tuned.dtype)
    gap = pair.delta - left.float() @ right.float()
    at = _PREFIX + task.module
    tensors = {f"{at}.lora_A.weight": right, f"{at}.lora_B.weight": left}
    return _Found(task, tensors, rank, float(gap.double().square().sum()), energy)


def _rank(sigma: Tensor, energy: float, recipe: ExtractRecipe) -> int:
    """Fewest triples that keep the share of the energy, at least 1, at most the rank."""
    most = min(recipe.rank, len(sigma))
    if recipe.energy == 0:
        return most
    kept = sigma.double().square().cumsum(0) >= recipe.energy * energy
    needed = int(kept.double().argmax()) + 1 if bool(kept.any()) else len(sigma)
    return max(1, min(most, needed))


def _write(job: ExtractJob, found: Sequence[_Found]) -> Artefact:
    """Write weights and config beside the target, then give the folder its name."""
    from safetensors.torch import save_file

    target = Path(job.recipe.output)
    partial = target.with_name(f"{target.name}.partial-{secrets.token_hex(3)}")
    made = [path for path in target.parents if not path.exists()]
    partial.mkdir(parents=True)
    try:
        tensors = {name: value for one in found for name, value in one.tensors.items()}
        file = partial / "adapter_model.safetensors"
        save_file(tensors, file, metadata={"format": "pt"})
        config = _config(job, found)
        described = partial / "adapter_config.json"
        described.write_text(json.dumps(config, indent=2) + "\n")
        file.chmod(described.stat().st_mode)  # weights are written for their owner alone
        for path in partial.iterdir():
            with path.open("rb") as written:
                os.fsync(written.fileno())
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        for path in made:
            if path.exists() and not any(path.iterdir()):
                path.rmdir()
        raise
    return _artefact(job, found, target)


def _check_biases(found: Sequence[_Found]) -> None:
    """Refuse changed biases of adapted layers: PEFT keeps them, and then cannot merge.

    Raises:
        MismatchError: there are some.
    """
    linear = {one.task.module for one in found if one.rank}
    changed = [
        one.task.info.name
        for one in found
        if one.tensors and one.task.module in linear and one.task.info.name.endswith(".bias")
    ]
    if changed:
        raise MismatchError(
            f"{len(changed)} biases of linear layers changed ({changed[0]}), which an adapter "
            "that can be merged does not keep",
            fix="Compress the model instead.",
        )


def _config(job: ExtractJob, found: Sequence[_Found]) -> dict[str, Any]:
    """Say what PEFT must know. Alpha is the rank everywhere, so that the scale is 1."""
    ranks = {one.task.module: one.rank for one in found if one.rank}
    top = max(ranks.values())
    others = {module: rank for module, rank in ranks.items() if rank != top}
    whole = sorted({one.task.module for one in found if one.tensors and not one.rank})
    is_transposed = any(one.task.is_transposed for one in found if one.rank)
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(job.base.path),
        "inference_mode": True,
        "r": top,
        "lora_alpha": top,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": is_transposed,
        "target_modules": sorted(ranks),
        "rank_pattern": others,
        "alpha_pattern": others,
        "modules_to_save": whole or None,
    }


def _artefact(job: ExtractJob, found: Sequence[_Found], target: Path) -> Artefact:
    energy = fsum(one.energy for one in found)
    error = fsum(one.error for one in found)
    return Artefact(
        path=str(target),
        kind="adapter",
        name=target.name,
        expert=str(job.expert.path),
        base=str(job.base.path),
        method="extract-lora",
        options={"rank": job.recipe.rank, "energy": job.recipe.energy},
        file_bytes=sum(path.stat().st_size for path in target.iterdir()),
        error=error / energy if energy else 0.0,
        tensors=tuple(_report(one) for one in found if one.tensors),
    )


def _report(one: _Found) -> TensorReport:
    stored = sum(value.nbytes for value in one.tensors.values())
    return TensorReport(
        name=one.task.info.name,
        codec="lora" if one.rank else "whole",
        stored_bytes=stored,
        payload_bits=8.0 * stored,
        n_elements=one.task.info.n_elements,
        error=one.error / one.energy if one.energy else 0.0,
        delta_energy=one.energy,
    )


def _spoken(found: Sequence[_Found]) -> str:
    ranks = sorted(one.rank for one in found if one.rank)
    whole = sum(1 for one in found if one.tensors and not one.rank)
    same = sum(1 for one in found if not one.tensors)
    text = f"{len(ranks)} layers at rank {ranks[0]} to {ranks[-1]}"
    text += f"; {whole} changed tensors that are no linear layer are saved whole" if whole else ""
    return text + (f"; {same} tensors are as in the base." if same else ".")
