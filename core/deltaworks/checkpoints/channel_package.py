"""One expert, or a weighted few, out of a package of channel-merged experts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.checkpoints.channel_manifest import (
    BETWEEN,
    GROUPS,
    INDEX,
    MANIFEST,
    ChannelManifest,
    GroupedTensor,
    read_manifest,
    wanted_experts,
)
from deltaworks.checkpoints.checkpoint import Checkpoint, Identity
from deltaworks.checkpoints.faults import DAMAGED, place
from deltaworks.checkpoints.folder import ModelCheckpoint
from deltaworks.checkpoints.layout import folder_layout
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.errors import FileError, MismatchError
from deltaworks.numerics.channel_groups import Labels, label_bits, unpack_labels
from deltaworks.numerics.words import tensor_words, torch_dtype, words_tensor

if TYPE_CHECKING:
    from torch import Tensor

    Words = np.ndarray[Any, Any]


def is_package(folder: Path) -> bool:
    """Whether a folder holds channel-merged experts."""
    return (folder / MANIFEST).is_file()


class ChannelExpert(Checkpoint):
    """A package seen as one model: an expert's rows are looked up when they are read.

    Args:
        folder: of the package.
        wanted: which experts, as after ``#`` in a path.
        base: needed for a weighted few, and where groups hold changes.
        owns_base: whether it is closed with this.

    Attributes:
        manifest: what the package says of itself.
    """

    def __init__(
        self,
        folder: Path,
        wanted: str,
        base: Checkpoint | None = None,
        *,
        owns_base: bool = False,
    ) -> None:
        self.manifest: ChannelManifest = read_manifest(folder)
        self._weights = wanted_experts(wanted, self.manifest, place(folder))
        self.path = folder.with_name(f"{folder.name}{BETWEEN}{wanted}")
        self.kind = "package"
        self.base = base
        self._owns_base = owns_base
        self._store = ModelCheckpoint(folder, "folder", folder_layout(folder))
        self.weight_files = self._store.weight_files
        self.config: Mapping[str, Any] = self._store.config
        self.side_files = {
            name: path for name, path in self._store.side_files.items() if name != MANIFEST
        }
        self._leader = next(iter(self._weights))
        self._infos = self._expert_infos()
        self._check()

    def _expert_infos(self) -> dict[str, TensorInfo]:
        found = {}
        for name in self.manifest.order:
            if name in self.manifest.grouped:
                tensor = self.manifest.grouped[name]
                found[name] = TensorInfo(name, tensor.shape, tensor.dtype)
                continue
            own = self.manifest.own[name]
            if own.stored[self._leader]:
                shape, dtype = own.shapes[self._leader], own.dtypes[self._leader]
                found[name] = TensorInfo(name, shape, dtype)
        return found

    def _check(self) -> None:
        """Compare the manifest with what is stored."""
        n_experts = len(self.manifest.experts)
        for name, tensor in self.manifest.grouped.items():
            stack = (tensor.groups, tensor.rows, tensor.shape[-1])
            self._check_stored(name + GROUPS, stack, tensor.dtype)
            bits = label_bits(tensor.groups)
            if bits:
                self._check_stored(name + INDEX, (-(-tensor.rows * n_experts * bits // 8),), "U8")
        for name, own in self.manifest.own.items():
            if not len(own.stored) == len(own.shapes) == len(own.dtypes) == n_experts:
                self._damaged(f"tensor {name:.80} is not told of every expert")
            for stored, shape, dtype in zip(own.stored, own.shapes, own.dtypes, strict=True):
                if stored:
                    self._check_stored(stored, shape, dtype)

    def _check_stored(self, name: str, shape: tuple[int, ...], dtype: str) -> None:
        if name not in self._store or self._store.info(name) != TensorInfo(name, shape, dtype):
            self._damaged(f"tensor {name:.80} is not stored as the manifest says")

    def _damaged(self, what: str) -> None:
        raise FileError(what, where=place(self._store.path), fix=DAMAGED)

    @property
    def names(self) -> tuple[str, ...]:
        """Every tensor of the expert, in its file order."""
        return tuple(self._infos)

    def info(self, name: str) -> TensorInfo:
        """Shape and dtype in the expert; KeyError when there is none of that name."""
        return self._infos[name]

    def __contains__(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return name in self._infos

    def labels(self, name: str) -> Labels:
        """Tell which group every expert has in every channel, ``(rows, experts)``."""
        tensor = self.manifest.grouped[name]
        bits = label_bits(tensor.groups)
        packed = self._store.read_words(name + INDEX) if bits else np.empty(0, dtype=np.uint8)
        labels = unpack_labels(
            np.ascontiguousarray(packed), tensor.rows, len(self.manifest.experts), bits
        )
        if labels.size and int(labels.max()) >= tensor.groups:
            self._damaged(f"tensor {name:.80} has a label beyond its groups")
        return labels

    def read_words(self, name: str, rows: slice | None = None) -> Words:
        """Look an expert's rows up; single experts of a package of weights need no torch."""
        tensor = self.manifest.grouped.get(name)
        if tensor is None and len(self._weights) == 1:
            return self._store.read_words(self.manifest.own[name].stored[self._leader], rows)
        if tensor is not None and self._is_plain:
            words = self._looked_up(name, tensor, self._leader).reshape(tensor.shape)
            return words if rows is None else words[rows]
        return tensor_words(self.read(name, rows))

    @property
    def _is_plain(self) -> bool:
        """Whether rows can be handed out as they are stored."""
        is_one = len(self._weights) == 1 and self._weights[self._leader] == 1.0
        return is_one and self.manifest.store == "weights"

    def _looked_up(self, name: str, tensor: GroupedTensor, expert: int) -> Words:
        """Gather an expert's rows, ``(rows, cols)``."""
        groups = self._store.read_words(name + GROUPS)
        found: Words = groups[self.labels(name)[:, expert], np.arange(tensor.rows)]
        return found

    def read(self, name: str, rows: slice | None = None) -> Tensor:
        """Look an expert's rows up, or add up those of several.

        Raises:
            MismatchError: the base is needed and not known, or another one.
        """
        info = self.info(name)
        if self._is_plain or (name in self.manifest.own and len(self._weights) == 1):
            return words_tensor(self.read_words(name, rows), info.dtype)
        base = self._base_tensor(name)
        total = base.float()
        for expert, weight in self._weights.items():
            change = self._change(name, expert, base)
            if change is not None:
                total = total + weight * change
        whole = total.to(torch_dtype(info.dtype))
        return whole if rows is None else whole[rows]

    def _change(self, name: str, expert: int, base: Tensor) -> Tensor | None:
        """Give what an expert adds to the base, float32."""
        tensor = self.manifest.grouped.get(name)
        if tensor is None:
            stored = self.manifest.own[name].stored[expert]
            return self._store.read(stored).float() - base.float() if stored else None
        words = self._looked_up(name, tensor, expert).reshape(tensor.shape)
        values = words_tensor(words, tensor.dtype).float()
        return values if self.manifest.store == "deltas" else values - base.float()

    def _base_tensor(self, name: str) -> Tensor:
        if self.base is None:
            raise MismatchError(
                f"its base {self.manifest.base} is needed and not known here",
                where=place(self.path),
                fix="Choose the base that the experts were tuned from.",
            )
        if self.base.identity.header != self.manifest.base_header:
            raise MismatchError(
                f"the base {place(self.base.path)} is not {self.manifest.base}",
                where=place(self.path),
                fix="Choose the base that the experts were tuned from.",
            )
        return self.base.read(name)

    def release(self, name: str) -> None:
        """Drop what was read from memory."""
        if self.base is not None and name in self.base:
            self.base.release(name)

    @property
    def identity(self) -> Identity:
        """Facts of the package's files."""
        return self._store.identity

    def close(self) -> None:
        """Let go of the files, and of the base if it was opened with them."""
        self._store.close()
        if self._owns_base and self.base is not None:
            self.base.close()
