"""A checkpoint held in memory, for tests that need its contract and no file of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from deltaworks.checkpoints.checkpoint import Checkpoint, Identity
from deltaworks.checkpoints.tensors import TensorInfo

if TYPE_CHECKING:
    from torch import Tensor

SIDE_FILES = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")


class MemoryCheckpoint(Checkpoint):
    """Tensors in a dictionary behind the contract of a checkpoint."""

    def __init__(self, folder: Path, config: Mapping[str, Any], tensors: dict[str, Tensor]) -> None:
        self.path, self.kind, self.config = folder, "folder", config
        self.side_files = {n: folder / n for n in SIDE_FILES if (folder / n).exists()}
        self.weight_files = ()
        self.tensors = tensors
        self.breaks_at = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.tensors)

    def info(self, name: str) -> TensorInfo:
        from deltaworks.numerics.words import dtype_name

        value = self.tensors[name]
        return TensorInfo(name, tuple(value.shape), dtype_name(value.dtype))

    def read_words(self, name: str, rows: slice | None = None) -> np.ndarray[Any, Any]:
        from deltaworks.numerics.words import tensor_words

        return tensor_words(self.read(name, rows))

    def read(self, name: str, rows: slice | None = None) -> Tensor:
        if name == self.breaks_at:
            raise OSError("the disk went away")
        return self.tensors[name] if rows is None else self.tensors[name][rows]

    @property
    def identity(self) -> Identity:
        return Identity("", "", self.nbytes, 0)

    def close(self) -> None:
        return


@pytest.fixture(scope="session")
def in_memory() -> Callable[..., MemoryCheckpoint]:
    """Read a model folder into memory: ``in_memory(folder, **changes of the config)``."""
    from safetensors.torch import load_file

    def read(folder: Path, **changes: Any) -> MemoryCheckpoint:
        tensors: dict[str, Tensor] = {}
        for file in sorted(folder.glob("*.safetensors")):
            tensors |= load_file(file)
        config = json.loads((folder / "config.json").read_text()) | changes
        return MemoryCheckpoint(folder, config, tensors)

    return read
