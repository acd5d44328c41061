"""A full model in safetensors: one file, shards, or a snapshot of the Hub's cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints.checkpoint import Checkpoint, CheckpointKind, Identity
from deltaworks.checkpoints.documents import read_object
from deltaworks.checkpoints.faults import DAMAGED, file_fault, place
from deltaworks.checkpoints.file_state import FileState
from deltaworks.checkpoints.hashes import header_hash
from deltaworks.checkpoints.hub import hub_source
from deltaworks.checkpoints.layout import Layout
from deltaworks.checkpoints.mapped import MappedFile
from deltaworks.checkpoints.side_files import SideFiles, side_files
from deltaworks.errors import FileError
from deltaworks.numerics.words import words_tensor

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from deltaworks.checkpoints.tensors import TensorInfo


class ModelCheckpoint(Checkpoint):
    """A full model on disk.

    Attributes:
        source: repository and revision, for a snapshot of the Hub's cache.
        left_out: files beside the weights that do not belong to the model, with reasons.
        index: the index file, when there is one.
    """

    def __init__(self, path: Path, kind: CheckpointKind, layout: Layout) -> None:
        folder = layout.files[0].parent
        self.path = path
        self.source = hub_source(path)
        self.kind = "hub" if self.source else kind
        self.index = layout.index
        self.weight_files = layout.files
        self._files = tuple(MappedFile(file) for file in layout.files)
        self._holder = _holders(self._files, folder)
        _check_index(layout, self._holder)
        self.config: Mapping[str, Any] = read_config(folder)
        beside = _beside(folder, layout, kind, has_config=bool(self.config))
        self.side_files, self.left_out = beside.files, beside.left_out

    @property
    def names(self) -> tuple[str, ...]:
        """Every tensor, in file order."""
        return tuple(self._holder)

    def info(self, name: str) -> TensorInfo:
        """Shape and dtype of a tensor; KeyError when there is none of that name."""
        return self._holder[name].header.tensors[name].info

    def __contains__(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return name in self._holder

    def read_words(self, name: str, rows: slice | None = None) -> np.ndarray[Any, Any]:
        """View a tensor's raw words in the mapped file."""
        return self._holder[name].words(name, rows)

    def read(self, name: str, rows: slice | None = None) -> Tensor:
        """View a tensor in the mapped file; writing to it ends the process."""
        return words_tensor(self.read_words(name, rows), self.info(name).dtype)

    def release(self, name: str) -> None:
        """Drop a tensor's pages from memory; whoever looks again reads them again."""
        self._holder[name].release(name)

    @property
    def metadata(self) -> Mapping[str, str]:
        """The first weight file's own texts."""
        return self._files[0].header.metadata

    @property
    def identity(self) -> Identity:
        """Facts from headers and the file system."""
        return file_identity(self.weight_files, [self.info(name) for name in self.names])

    @property
    def file_states(self) -> Mapping[Path, FileState]:
        """The weight files, as they were when they were opened."""
        return {file.path: file.state for file in self._files}

    def close(self) -> None:
        """Let go of every mapped file."""
        for file in self._files:
            file.close()


def file_identity(files: Sequence[Path], tensors: Sequence[TensorInfo]) -> Identity:
    """Tell the identity of weights from their headers and files.

    Raises:
        FileError: a file is gone.
    """
    facts = []
    for path in files:
        try:
            facts.append(path.stat())
        except OSError as error:
            raise file_fault(error, path) from error
    size = sum(fact.st_size for fact in facts)
    return Identity(header_hash(tensors), "", size, max(fact.st_mtime_ns for fact in facts))


def read_config(folder: Path) -> dict[str, Any]:
    """Read a folder's config.json; empty when there is none."""
    path = folder / "config.json"
    return read_object(path) if path.is_file() else {}


def _beside(folder: Path, layout: Layout, kind: CheckpointKind, *, has_config: bool) -> SideFiles:
    """Side files; a lone weight file without a config.json beside it has none."""
    if kind == "file" and not has_config:
        return SideFiles({}, {})
    return side_files(folder, layout.files)


def _holders(files: Sequence[MappedFile], folder: Path) -> dict[str, MappedFile]:
    holder: dict[str, MappedFile] = {}
    for file in files:
        for name in file.header.tensors:
            if name in holder:
                text = f"tensor {name} is in {holder[name].path.name} and in {file.path.name}"
                raise FileError(
                    text, where=place(folder), fix="Keep the files of one model only in it."
                )
            holder[name] = file
    if not holder:
        raise FileError("holds no tensors", where=place(files[0].path), fix=DAMAGED)
    return holder


def _check_index(layout: Layout, holder: Mapping[str, MappedFile]) -> None:
    """Check that every tensor is in the file that the index names."""
    if layout.index is None or layout.weight_map is None:
        return
    for name, file_name in layout.weight_map.items():
        if name not in holder or holder[name].path.name != file_name:
            raise FileError(
                f"says that tensor {name:.80} is in {file_name}, it is not",
                where=place(layout.index),
                fix="The index and the weights are of two versions; download the model again.",
            )
