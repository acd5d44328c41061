"""A few numbers of a few matrices: enough to tell relatives from strangers.

Two unrelated networks of one shape have cosine 0 and a relative distance of about 1.4;
fine-tunes of one base stay well below. Which numbers are read depends on names and shapes
alone, so that any two models of one shape are compared at the same places.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints import roles_of
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.numerics.words import to_float32

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class SampleSize:
    """How much is read of each model.

    Args:
        matrices: at most so many; ``rows`` of each, ``columns`` of each row.
    """

    matrices: int
    rows: int
    columns: int


QUICK = SampleSize(matrices=16, rows=4, columns=128)
"""For comparing everything with everything: 32 kB a model in memory."""

THOROUGH = SampleSize(matrices=48, rows=8, columns=512)
"""For one pair."""


def block_matrices(checkpoint: Checkpoint) -> list[TensorInfo]:
    """List the matrices inside blocks; every floating matrix where no block is known."""
    infos = [checkpoint.info(name) for name in checkpoint.names]
    infos = [info for info in infos if info.is_floating and len(info.shape) > 1 and info.n_elements]
    roles = roles_of(infos, checkpoint.config)
    linear = [info for info in infos if roles[info.name].role == "linear"]
    return linear or infos


def signature(infos: Sequence[TensorInfo]) -> str:
    """Hash names and shapes: models that share it can be compared number by number."""
    lines = sorted(f"{info.name} {info.shape}" for info in infos)
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest() if lines else ""


def chosen(infos: Sequence[TensorInfo], size: SampleSize) -> list[TensorInfo]:
    """Pick matrices spread over all blocks and layers, the same ones every time."""
    # By hash, not by stride: a stride that divides the layers of a block sees one layer only.
    ranked = sorted(infos, key=lambda info: hashlib.blake2b(info.name.encode()).digest())
    return sorted(ranked[: size.matrices], key=lambda info: info.name)


def read_sample(checkpoint: Checkpoint, info: TensorInfo, size: SampleSize) -> Array:
    """Read evenly spread numbers of one matrix as a float32 vector."""
    import numpy as np

    n_rows = info.shape[0]
    rows = np.unique(np.linspace(0, n_rows - 1, min(size.rows, n_rows)).astype(int))
    parts = []
    for row in rows.tolist():
        words = checkpoint.read_words(info.name, rows=slice(row, row + 1)).reshape(-1)
        n_columns = min(size.columns, words.size)
        columns = np.linspace(0, words.size - 1, n_columns).astype(int)
        parts.append(to_float32(np.ascontiguousarray(words[columns]), info.dtype))
    return np.concatenate(parts)
