"""A LoRA adapter over its base: looks like the merged model, one layer at a time.

Merged weight = round(base + s·B·A), computed in float64 a block of rows at a time and
rounded to the base's dtype. A tensor that the adapter stores whole takes the base's place,
in the base's dtype too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.checkpoints.adapter_config import AdapterConfig, read_adapter_config
from deltaworks.checkpoints.adapter_targets import Change, Target, targets_of
from deltaworks.checkpoints.checkpoint import Checkpoint, Identity
from deltaworks.checkpoints.faults import DAMAGED, place
from deltaworks.checkpoints.file_state import FileState
from deltaworks.checkpoints.folder import file_identity
from deltaworks.checkpoints.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS, refuse_format
from deltaworks.checkpoints.mapped import MappedFile
from deltaworks.checkpoints.side_files import side_files
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.errors import FileError, MismatchError
from deltaworks.numerics.words import NUMPY_DTYPE, from_float, to_float32, words_tensor

if TYPE_CHECKING:
    from torch import Tensor

    Words = np.ndarray[Any, Any]

_BLOCK_ELEMENTS = 2**20


class AdapterCheckpoint(Checkpoint):
    """A PEFT LoRA adapter; with a base, the model that both make together.

    Without a base its own targets are listed under their module's names, and reading
    them is refused.

    Attributes:
        adapter: what adapter_config.json says.
        base: the model it changes; None when not known.
        is_float32: whether a float32 base is added to in float32, as PEFT does, and not in
            float64. Other bases are the same either way but for a last bit.
    """

    is_float32 = False

    def __init__(self, folder: Path, base: Checkpoint | None, *, owns_base: bool = False) -> None:
        self._owns_base = owns_base
        self.path = folder
        self.kind = "adapter"
        self.adapter: AdapterConfig = read_adapter_config(folder / ADAPTER_CONFIG)
        self.base = base
        self._file = MappedFile(_weights_of(folder))
        self.weight_files = (self._file.path,)
        own = side_files(folder, self.weight_files)
        self.left_out = own.left_out
        self._targets = targets_of(self._file, base)
        self._check_ranks()
        self.config: Mapping[str, Any] = {} if base is None else base.config
        self.side_files: Mapping[str, Path] = dict(own.files)
        if base is not None:
            merged = {**base.side_files, **own.files}
            self.side_files = {
                name: path for name, path in merged.items() if name != ADAPTER_CONFIG
            }

    def _check_ranks(self) -> None:
        shapes = {name: one.info.shape for name, one in self._file.header.tensors.items()}
        for name, target in self._targets.items():
            change = target.change
            if not change.a:
                continue
            rank, a, b = self.adapter.rank_of(change.module), shapes[change.a], shapes[change.b]
            if len(a) != 2 or len(b) != 2 or a[0] != b[1] or a[0] != rank:
                raise FileError(
                    f"{change.module}: A is {a}, B is {b}, the config says rank {rank}",
                    where=place(self._file.path),
                    fix=DAMAGED,
                )
            made = self._made_shape(a, b, change)
            if made != target.info.shape:
                raise MismatchError(
                    f"shape {target.info.shape} in the base, {made} in the adapter",
                    where=name,
                    fix="Choose the base this adapter was trained on.",
                )

    def _made_shape(
        self, a: tuple[int, ...], b: tuple[int, ...], change: Change
    ) -> tuple[int, int]:
        is_turned = change.is_embedding or self.adapter.is_transposed
        return (a[1], b[0]) if is_turned else (b[0], a[1])

    @property
    def names(self) -> tuple[str, ...]:
        """The base's tensors, then those that only the adapter has."""
        if self.base is None:
            return tuple(self._targets)
        return (*self.base.names, *(name for name in self._targets if name not in self.base))

    def info(self, name: str) -> TensorInfo:
        """Shape and dtype as the merged model has them."""
        if name in self._targets:
            return self._targets[name].info
        if self.base is None:
            raise KeyError(name)
        return self.base.info(name)

    def read_words(self, name: str, rows: slice | None = None) -> Words:
        """Compute a merged tensor, or some rows of it.

        Raises:
            MismatchError: the base is not known.
        """
        base = self._base_or_refuse()
        target = self._targets.get(name)
        if target is None:
            return base.read_words(name, rows)
        words, dtype = self._start(target, base, rows)
        if target.change.bias:
            return self._plus_bias(words, dtype, target, rows)
        if target.change.a:
            return self._plus_product(words, dtype, target, rows)
        same = dtype == target.info.dtype
        return words if same else from_float(_wide(words, dtype), target.info.dtype)

    def _start(self, target: Target, base: Checkpoint, rows: slice | None) -> tuple[Words, str]:
        """Give what the adapter adds to, and its dtype: its own whole tensor or the base's."""
        whole = target.change.whole
        if not whole:
            return base.read_words(target.base_name, rows), target.info.dtype
        return self._file.words(whole, rows), self._file.header.tensors[whole].info.dtype

    def _plus_product(self, words: Words, dtype: str, target: Target, rows: slice | None) -> Words:
        """Add s·B·A, so many rows at a time that little is dense at once."""
        left, right = self._factors(target.change)
        left = left if rows is None else left[rows]
        scale: Any = self.adapter.scale(target.change.module)
        is_narrow = self.is_float32 and dtype == target.info.dtype == "F32"
        if is_narrow:
            left, right = left.astype(np.float32), right.astype(np.float32)
            scale = np.float32(scale)
        out = np.empty(words.shape, dtype=NUMPY_DTYPE[target.info.dtype])
        step = max(1, _BLOCK_ELEMENTS // max(1, right.shape[1]))
        for at in range(0, len(words), step):
            piece = words[at : at + step]
            part = piece.copy() if is_narrow else _wide(piece, dtype)
            part += scale * (left[at : at + step] @ right)
            out[at : at + step] = from_float(part, target.info.dtype)
        return out

    def _factors(self, change: Change) -> tuple[Words, Words]:
        """Give the two factors in float64, in the order of the stored matrix."""
        a, b = self._numbers(change.a), self._numbers(change.b)
        if change.is_embedding or self.adapter.is_transposed:
            return a.T, b.T
        return b, a

    def _plus_bias(self, words: Words, dtype: str, target: Target, rows: slice | None) -> Words:
        added = self._numbers(target.change.bias)
        added = added if rows is None else added[rows]
        scale = self.adapter.scale(target.change.module)
        return from_float(_wide(words, dtype) + scale * added, target.info.dtype)

    def change_of(self, name: str) -> Change | None:
        """Say what the adapter does to a tensor of its base; None where it does nothing."""
        target = self._targets.get(name)
        return target.change if target else None

    def pair_of(self, name: str) -> tuple[Words, Words] | None:
        """Give two float64 factors of what the adapter adds to a matrix of its base, unrounded.

        Their product has the shape of the stored matrix; the adapter's scale is in the
        left one. None where it adds nothing, or stores the tensor whole.
        """
        target = self._targets.get(name)
        if target is None or not target.change.a or target.change.whole:
            return None
        left, right = self._factors(target.change)
        return self.adapter.scale(target.change.module) * left, right

    def _numbers(self, name: str) -> Words:
        dtype = self._file.header.tensors[name].info.dtype
        return _wide(self._file.words(name), dtype)

    def read(self, name: str, rows: slice | None = None) -> Tensor:
        """Compute a merged tensor, or some rows of it."""
        return words_tensor(self.read_words(name, rows), self.info(name).dtype)

    def release(self, name: str) -> None:
        """Drop the base's pages from memory."""
        if self.base is not None and name in self.base:
            self.base.release(name)

    def _base_or_refuse(self) -> Checkpoint:
        if self.base is None:
            named = f" {self.adapter.base!r}" if self.adapter.base else ""
            raise MismatchError(
                f"its base model{named} is not known here",
                where=place(self.path),
                fix="Choose the base this adapter was trained on.",
            )
        return self.base

    @property
    def n_adapter_parameters(self) -> int:
        """Count of numbers that the adapter stores."""
        return sum(one.info.n_elements for one in self._file.header.tensors.values())

    @property
    def identity(self) -> Identity:
        """Facts of the adapter's own file."""
        stored = [one.info for one in self._file.header.tensors.values()]
        return file_identity(self.weight_files, stored)

    @property
    def file_states(self) -> Mapping[Path, FileState]:
        """The adapter's own file and the base's, as they were when they were opened."""
        below = {} if self.base is None else self.base.file_states
        return {**below, self._file.path: self._file.state}

    def close(self) -> None:
        """Let go of the adapter's file, and of the base if it was opened with it."""
        self._file.close()
        if self._owns_base and self.base is not None:
            self.base.close()


def _wide(words: Words, dtype: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return (words if dtype == "F64" else to_float32(words, dtype)).astype(np.float64)


def _weights_of(folder: Path) -> Path:
    path = folder / ADAPTER_WEIGHTS
    if not path.exists():
        for other in sorted(folder.glob("adapter_model.*")):
            refuse_format(other)
    return path
