"""What a pass over texts costs, from headers alone and without torch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from deltaworks.calibration.store import halved_count
from deltaworks.calibration.targets import linear_names
from deltaworks.checkpoints import roles_of
from deltaworks.checkpoints.checkpoint import Checkpoint

_FLOAT = 4
_SHARED = {"k_proj": "q_proj", "v_proj": "q_proj", "up_proj": "gate_proj"}
"""Layers that see the input of another; of other names each is counted."""


@dataclass(frozen=True, slots=True)
class GramCost:
    """Cost of collecting Gram matrices.

    Args:
        read_bytes: of the model, once.
        disk_bytes: of the matrices, as they are kept.
        memory_bytes: of the largest block in float32, its matrices and the hidden states.
        flops: of the forward pass and of the sums.
    """

    read_bytes: int
    disk_bytes: int
    memory_bytes: int
    flops: float


def gram_cost(
    checkpoint: Checkpoint, n_tokens: int, names: Collection[str] | None = None
) -> GramCost:
    """Estimate what ``collect_grams`` costs.

    Args:
        checkpoint: the model.
        n_tokens: that will run through it.
        names: weights whose inputs are wanted; the matrices inside blocks when None.
    """
    infos = [checkpoint.info(name) for name in checkpoint.names]
    roles = roles_of(infos, checkpoint.config)
    wanted = set(linear_names(checkpoint) if names is None else names)
    disk = 0
    flops = 0.0
    weights: dict[int, int] = {}
    matrices: dict[int, int] = {}
    for info in infos:
        role = roles[info.name]
        block = -1 if role.block is None else role.block
        weights[block] = weights.get(block, 0) + _FLOAT * info.n_elements
        if role.role == "linear":
            flops += 2.0 * n_tokens * info.n_elements
        if info.name not in wanted or _follows(info.name, checkpoint):
            continue
        size = info.shape[-2] if role.is_transposed else info.shape[-1]
        count = info.shape[0] if len(info.shape) == 3 else 1
        disk += _FLOAT * count * halved_count(size)
        matrices[block] = matrices.get(block, 0) + _FLOAT * count * size * size
        flops += 2.0 * n_tokens * size * size
    width = int(checkpoint.config.get("hidden_size", 0) or 0)
    largest = max((weights[block] + matrices.get(block, 0) for block in weights), default=0)
    return GramCost(checkpoint.nbytes, disk, largest + _FLOAT * n_tokens * width, flops)


def _follows(name: str, checkpoint: Checkpoint) -> bool:
    """Whether a layer shares the input of another one that is there."""
    for layer, leader in _SHARED.items():
        if f".{layer}." in name:
            return name.replace(f".{layer}.", f".{leader}.") in checkpoint
    return False
