"""A part of a model under other names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints.checkpoint import Checkpoint, Identity
from deltaworks.checkpoints.file_state import FileState
from deltaworks.checkpoints.tensors import TensorInfo

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class RenamedCheckpoint(Checkpoint):
    """Some tensors of another checkpoint, seen under other names.

    Args:
        model: what is seen; not closed with this.
        stored: names as seen to names as stored, in the order of the view.
        config: that describes the part.
    """

    def __init__(
        self, model: Checkpoint, stored: Mapping[str, str], config: Mapping[str, Any]
    ) -> None:
        self.model = model
        self.path: Path = model.path
        self.kind = model.kind
        self.config = config
        self.side_files = model.side_files
        self.weight_files = model.weight_files
        self._stored = dict(stored)

    @property
    def names(self) -> tuple[str, ...]:
        """Every tensor of the part."""
        return tuple(self._stored)

    def __contains__(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return name in self._stored

    def info(self, name: str) -> TensorInfo:
        """Shape and dtype under the name as it is seen."""
        found = self.model.info(self._stored[name])
        return TensorInfo(name, found.shape, found.dtype)

    def read_words(self, name: str, rows: slice | None = None) -> np.ndarray[Any, Any]:
        """Read a tensor's raw words."""
        return self.model.read_words(self._stored[name], rows)

    def read(self, name: str, rows: slice | None = None) -> Tensor:
        """Read a tensor."""
        return self.model.read(self._stored[name], rows)

    def release(self, name: str) -> None:
        """Let the system take back memory."""
        self.model.release(self._stored[name])

    @property
    def identity(self) -> Identity:
        """Facts of the model itself."""
        return self.model.identity

    @property
    def file_states(self) -> Mapping[Path, FileState]:
        """The model's files."""
        return self.model.file_states

    def close(self) -> None:
        """Nothing: whoever opened the model closes it."""
