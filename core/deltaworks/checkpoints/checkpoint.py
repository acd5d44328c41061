"""The contract of everything that can be opened: a mapping from names to lazily read tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from deltaworks.checkpoints.file_state import FileState
from deltaworks.checkpoints.tensors import TensorInfo

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

CheckpointKind = Literal["folder", "file", "hub", "adapter", "delta", "package"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Which bytes these are.

    Args:
        header: hash of names, shapes and dtypes in file order; cheap, no data read.
        content: blake3 of all weight bytes, once computed; empty before.
        size_bytes: bytes of the weight files.
        modified_ns: newest modification time of the weight files.
    """

    header: str
    content: str
    size_bytes: int
    modified_ns: int


class Checkpoint(ABC):
    """Named tensors on disk. Opening reads headers only.

    Attributes:
        path: what the user opened.
        kind: how it is stored.
        config: parsed ``config.json``; empty when there is none.
        side_files: name to path of every other file that belongs to the model
            (tokenizer, chat template, generation and processor configs, card).
        weight_files: the files that hold tensors, in shard order.
    """

    path: Path
    kind: CheckpointKind
    config: Mapping[str, Any]
    side_files: Mapping[str, Path]
    weight_files: tuple[Path, ...]

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Every tensor, in file order."""

    @abstractmethod
    def info(self, name: str) -> TensorInfo:
        """Shape and dtype of a tensor; KeyError when there is none of that name."""

    @abstractmethod
    def read_words(self, name: str, rows: slice | None = None) -> np.ndarray[Any, Any]:
        """Read raw words without torch.

        Args:
            name: tensor name.
            rows: part of the first axis, or all.

        Returns:
            An array of the tensor's shape in its numpy dtype; ``uint16`` words for BF16,
            ``uint8`` for the 8-bit floats. May be a read-only view of the mapped file.
        """

    @abstractmethod
    def read(self, name: str, rows: slice | None = None) -> Tensor:
        """Read a tensor in its stored dtype, on the CPU. Never write to it."""

    def release(self, name: str) -> None:  # noqa: B027 - nothing to do where nothing is mapped
        """Let the system take back memory that reading a tensor filled; views stay valid."""

    @property
    @abstractmethod
    def identity(self) -> Identity:
        """Facts that tell these bytes from others."""

    @property
    def file_states(self) -> Mapping[Path, FileState]:
        """The files that tensors come from, as they were when they were opened."""
        return {}

    @abstractmethod
    def close(self) -> None:
        """Let go of every mapped file."""

    @property
    def n_parameters(self) -> int:
        """Count of numbers in all tensors."""
        return sum(self.info(name).n_elements for name in self.names)

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data."""
        return sum(self.info(name).nbytes for name in self.names)

    def __contains__(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return name in self.names

    def __enter__(self) -> Self:
        """Use as a context that closes itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
