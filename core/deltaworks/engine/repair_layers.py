"""One tensor of a repair: its inputs brought together, repaired, rounded once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.engine.prefetching import prefetch
from deltaworks.engine.repair_types import RepairJob, RepairTask
from deltaworks.errors import NotFiniteError
from deltaworks.methods.method import TensorSpec
from deltaworks.methods.safety_record import Repaired, RepairInputs
from deltaworks.numerics.words import torch_dtype, words_tensor

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.engine.repair_statistics import Statistics

    Words = np.ndarray[Any, Any]


def read_words(job: RepairJob, name: str) -> dict[str, Words]:
    """Read a tensor of every model that has it and takes part; by role."""
    task = job.tasks[name]
    roles = job.by_role
    if task.origin != "repaired":
        wanted = ("aligned", "tuned") if task.has_grown else (task.origin,)
        roles = {role: roles[role] for role in wanted}
    if job.adapter is not None and _is_added_to(job, name):
        roles.pop("tuned", None)  # its change is taken unrounded, from its factors
    return {
        role: prefetch(model.read_words(name)) for role, model in roles.items() if name in model
    }


def _is_added_to(job: RepairJob, name: str) -> bool:
    if job.adapter is None or job.tasks[name].origin != "repaired":
        return False
    return job.adapter.pair_of(name) is not None


def tensors_of(job: RepairJob, name: str, words: dict[str, Words]) -> dict[str, Tensor]:
    """Give the models' tensors, as stored; an adapter's in float32, unrounded."""
    import torch

    found = {
        role: words_tensor(array, job.by_role[role].info(name).dtype)
        for role, array in words.items()
    }
    pair = job.adapter.pair_of(name) if job.adapter is not None else None
    if "tuned" not in found and pair is not None:
        left, right = (torch.from_numpy(np.ascontiguousarray(one)) for one in pair)
        found["tuned"] = (found["aligned"].double() + left @ right).float()
    return found


def repair_tensor(
    job: RepairJob, name: str, tensors: dict[str, Tensor], inputs: RepairInputs
) -> Repaired:
    """Repair one tensor; rows that only the fine-tune has stay its own.

    Args:
        job: the job.
        name: of the tensor.
        tensors: of every model, as stored.
        inputs: statistics; its tensors are put in here.

    Returns:
        The tensor as it is stored, not yet rounded.

    Raises:
        NotFiniteError: the result holds NaN or infinity.
    """
    import torch

    task = job.tasks[name]
    common: dict[str, Any] = {
        role: _turned(tensor[: task.n_common] if tensor.ndim else tensor, task)
        for role, tensor in tensors.items()
    }
    shape = tuple(common["aligned"].shape)
    whole = replace(inputs, spec=TensorSpec(name, shape, job.recipe.seed), **common)
    is_stack = len(shape) == 3 and not job.method.treats_all
    found = _stack(job, whole) if is_stack else job.method.repair(whole, job.options)
    out = _turned(found.tensor, task)
    if not torch.isfinite(out).all():
        raise NotFiniteError(
            "the repaired weights hold NaN or infinity", where=name, fix="Check the models"
        )
    if task.has_grown:
        out = torch.cat([out, tensors["tuned"][task.n_common :].to(out.dtype)])
    return Repaired(out, found.facts)


def _turned(tensor: Tensor, task: RepairTask) -> Tensor:
    return tensor.mT.contiguous() if task.is_transposed else tensor


def _stack(job: RepairJob, inputs: RepairInputs) -> Repaired:
    """Repair the experts of a stack one by one; facts are their means."""
    import torch

    parts = []
    for number in range(inputs.spec.shape[0]):
        spec = TensorSpec(f"{inputs.spec.name}#{number}", inputs.spec.shape[1:], inputs.spec.seed)
        own = {
            role: getattr(inputs, role)[number]
            for role in ("aligned", "tuned", "unaligned", "pretrained", "sibling")
            if getattr(inputs, role) is not None
        }
        one = replace(
            inputs,
            spec=spec,
            **own,
            gram=_part(inputs.gram, number),
            fisher=_part(inputs.fisher, number),
            factor=None,
        )
        parts.append(job.method.repair(one, job.options))
    names = parts[0].facts
    facts = {name: sum(part.facts.get(name, 0.0) for part in parts) / len(parts) for name in names}
    return Repaired(torch.stack([part.tensor for part in parts]), facts)


def _part(read: Callable[[], Tensor] | None, number: int) -> Callable[[], Tensor] | None:
    """Give what reads one of a stack."""
    return None if read is None else lambda: read()[number]


def statistics_of(job: RepairJob, name: str, statistics: Statistics) -> RepairInputs:
    """Give the inputs of a method without their tensors."""
    import torch

    task = job.tasks[name]
    fisher = statistics.fisher(name)
    empty = torch.empty(0)
    is_stack = len(task.info.shape) == 3
    return RepairInputs(
        TensorSpec(name, task.info.shape, job.recipe.seed),
        empty,
        empty,
        gram=statistics.gram(name),
        fisher=None if fisher is None else (lambda: _turned(fisher(), task)),
        factor=None if is_stack else statistics.factor(name),
    )


def rounded(tensor: Tensor, dtype: str, where: str) -> Tensor:
    """Round once to the dtype of the result.

    Raises:
        NotFiniteError: values are too large for F16.
    """
    import torch

    out = tensor.to(torch_dtype(dtype))
    if dtype == "F16" and not torch.isfinite(out).all():
        raise NotFiniteError(
            f"values up to {tensor.abs().max().item():.3g} do not fit into F16",
            where=where,
            fix="Choose BF16 or F32 for the result",
        )
    return out.contiguous()
