"""Repaired adapters: factors repaired as they are, or cut from a dense repair."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.checkpoints.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from deltaworks.checkpoints.staging import (
    make_parents,
    partial_path,
    publish_folder,
    refuse_existing,
    remove_empty,
    sync_folder,
)
from deltaworks.engine.execution import Run
from deltaworks.engine.repair_facts import REPORT_FILE, repair_facts, side_files
from deltaworks.engine.repair_layers import read_words, tensors_of
from deltaworks.engine.repair_types import RepairJob
from deltaworks.methods.method import TensorSpec
from deltaworks.methods.safety_record import Repaired, RepairInputs

if TYPE_CHECKING:
    from torch import Tensor

Repair = Callable[[str], Repaired]


def write_adapter(
    job: RepairJob,
    repair: Repair,
    models: Mapping[str, Any],
    texts: Mapping[str, Any],
    run: Run,
) -> tuple[dict[str, Any], int]:
    """Write the repaired adapter; it is small, so it is made in memory.

    Args:
        job: the job.
        repair: gives a dense tensor of the result.
        models: facts of the inputs; ``texts`` likewise.
        texts: of the texts that were read.
        run: told and stopped.

    Returns:
        The report's facts, and bytes of the folder.
    """
    assert job.adapter is not None
    refuse_existing(job.target)
    tensors = _stored(job)
    config: dict[str, Any] = json.loads((job.adapter.path / ADAPTER_CONFIG).read_text("utf-8"))
    layers: dict[str, Mapping[str, Any]] = {}
    is_native = job.method.repair_pair is not None
    with run.stage("tensors"):
        for number, name in enumerate(job.repaired, start=1):
            run.tally.tell(f"tensors {number}/{len(job.repaired)}")
            if is_native:
                layers[name] = _native(job, name, tensors)
            else:
                layers[name] = _cut(job, name, repair(name), tensors, config)
    if not is_native and job.recipe.other_tensors == "aligned":
        _drop_others(job, tensors)
    facts = repair_facts(job, models, texts, layers)
    with run.stage("finish"):
        return facts, _publish(job, tensors, config, facts)


def _stored(job: RepairJob) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    assert job.adapter is not None
    return load_file(job.adapter.weight_files[0])


def _native(job: RepairJob, name: str, tensors: dict[str, Tensor]) -> Mapping[str, float]:
    """Repair one pair in place: only its B changes."""
    import torch

    assert job.adapter is not None
    assert job.method.repair_pair is not None
    change, pair = job.adapter.change_of(name), job.adapter.pair_of(name)
    assert change is not None
    assert pair is not None
    left, right = (torch.from_numpy(np.ascontiguousarray(one)) for one in pair)
    scale = job.adapter.adapter.scale(change.module)
    is_turned = job.tasks[name].is_transposed
    if is_turned:
        left, right = right.mT, left.mT
    stored_by_role = tensors_of(job, name, read_words(job, name))
    found: dict[str, Any] = {}
    found |= {role: tensor.mT if is_turned else tensor for role, tensor in stored_by_role.items()}
    shape = tuple(found["aligned"].shape)
    inputs = RepairInputs(TensorSpec(name, shape, job.recipe.seed), pair=(left, right), **found)
    repaired = job.method.repair_pair(inputs, job.options)
    stored = tensors[change.b]
    if repaired.tensor is not left:
        out = repaired.tensor if is_turned else repaired.tensor / scale
        tensors[change.b] = out.to(stored.dtype).contiguous()
    return repaired.facts


def _cut(
    job: RepairJob,
    name: str,
    dense: Repaired,
    tensors: dict[str, Tensor],
    config: dict[str, Any],
) -> Mapping[str, float]:
    """Cut a dense repair back to a pair by its largest singular values."""
    import torch

    assert job.adapter is not None
    change = job.adapter.change_of(name)
    assert change is not None
    aligned = tensors_of(job, name, {"aligned": read_words(job, name)["aligned"]})["aligned"]
    delta = dense.tensor.float() - aligned.float()
    delta = delta.mT if job.tasks[name].is_transposed else delta
    rank = min(job.recipe.rank or job.adapter.adapter.rank_of(change.module), *delta.shape)
    left, values, right = torch.linalg.svd(delta, full_matrices=False)
    root = values[:rank].sqrt()
    dtype = tensors[change.b].dtype
    tensors[change.b] = (left[:, :rank] * root).to(dtype).contiguous()
    tensors[change.a] = (root[:, None] * right[:rank]).to(dtype).contiguous()
    for key in ("rank_pattern", "alpha_pattern"):  # a scale of one, in either kind of LoRA
        pattern = dict(config.get(key) or {})
        is_root = key == "alpha_pattern" and config.get("use_rslora")
        config[key] = {change.module: rank**0.5 if is_root else rank, **pattern}
    lost, whole = float(values[rank:].norm()), float(values.norm())
    return {**dense.facts, "rank": float(rank), "cut_error": lost / whole if whole else 0.0}


def _drop_others(job: RepairJob, tensors: dict[str, Tensor]) -> None:
    """Leave out what the method did not treat: it comes from the aligned model."""
    assert job.adapter is not None
    for name in job.tasks:
        change = job.adapter.change_of(name)
        if change is not None and name not in job.repaired:
            for stored in (change.a, change.b, change.bias, change.whole):
                tensors.pop(stored, None)


def _publish(
    job: RepairJob, tensors: dict[str, Tensor], config: dict[str, Any], facts: dict[str, Any]
) -> int:
    from safetensors.torch import save_file

    assert job.adapter is not None
    made = make_parents(job.target)
    partial = partial_path(job.target, "")
    own = {name for name in side_files(job) if name.startswith("deltaworks_")}
    try:
        partial.mkdir()
        save_file(tensors, partial / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        (partial / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2) + "\n", "utf-8")
        (partial / REPORT_FILE).write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
        for name, data in side_files(job).items():
            if name in own and isinstance(data, bytes):
                (partial / name).write_bytes(data)
        sync_folder(partial)
        publish_folder(partial, job.target)
    except BaseException:
        import shutil

        shutil.rmtree(partial, ignore_errors=True)
        remove_empty(made)
        raise
    return sum(path.stat().st_size for path in job.target.iterdir())
