"""Which tensor of the base each tensor of a PEFT adapter belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.faults import DAMAGED, place
from deltaworks.checkpoints.mapped import MappedFile
from deltaworks.checkpoints.tensors import FLOATING, TensorInfo
from deltaworks.errors import FileError, MismatchError

_PREFIX = "base_model.model."
_PARTS = {
    ".lora_A.weight": ("A", ".weight"),
    ".lora_B.weight": ("B", ".weight"),
    ".lora_embedding_A": ("A", ".weight"),
    ".lora_embedding_B": ("B", ".weight"),
    ".lora_B.bias": ("bias", ".bias"),
}


@dataclass
class Change:
    """What the adapter does to one tensor of the base.

    Args:
        module: name of the layer, which patterns of the config are matched with.
        a: name of A in the adapter's file; ``b`` likewise.
        bias: name of the bias that comes with B.
        whole: name of a tensor that takes the base's place.
        is_embedding: A is (rank, vocabulary), B is (width, rank).
    """

    module: str
    a: str = ""
    b: str = ""
    bias: str = ""
    whole: str = ""
    is_embedding: bool = False


@dataclass
class Target:
    """A change, tied to the base's name and shape."""

    change: Change
    info: TensorInfo
    base_name: str = ""


def targets_of(file: MappedFile, base: Checkpoint | None) -> dict[str, Target]:
    """Say which tensors the adapter changes, by their names in the base.

    Without a base they go by their module's names, with shapes from the factors.

    Raises:
        FileError: the adapter holds tensors that are not understood, or half a pair.
        MismatchError: the base lacks what the adapter changes.
    """
    changes = _changes(file)
    return _alone(changes, file) if base is None else _over(changes, file, base)


def _changes(file: MappedFile) -> dict[str, Change]:
    """Sort the adapter's tensors by the base tensor that they change, by module name."""
    changes: dict[str, Change] = {}
    for stored in file.header.tensors:
        name = stored.removeprefix(_PREFIX)
        ending = next((ending for ending in _PARTS if name.endswith(ending)), "")
        if ending:
            part, leaf = _PARTS[ending]
            module = name.removesuffix(ending)
            change = changes.setdefault(module + leaf, Change(module))
            _put(change, part, stored, is_embedding="embedding" in ending)
        elif ".lora_" in name:
            raise FileError(
                f"tensor {stored:.80} is of a kind of LoRA that is not read here",
                where=place(file.path),
                fix="Merge it with PEFT and open the merged model.",
            )
        else:
            whole = name.replace(".base_layer.", ".").replace(".modules_to_save.", ".")
            module = whole.rpartition(".")[0]
            changes.setdefault(whole, Change(module)).whole = stored
    for name, change in changes.items():
        if bool(change.a) != bool(change.b):
            raise FileError(f"{name} has only one of A and B", where=place(file.path), fix=DAMAGED)
    return changes


def _put(change: Change, part: str, stored: str, *, is_embedding: bool) -> None:
    if part == "A":
        change.a, change.is_embedding = stored, is_embedding
    elif part == "B":
        change.b = stored
    else:
        change.bias = stored


def _alone(changes: Mapping[str, Change], file: MappedFile) -> dict[str, Target]:
    """Describe targets from the adapter alone: shapes from A and B, dtype of B."""
    stored = file.header.tensors
    targets = {}
    for name, change in changes.items():
        only = stored[change.whole or change.bias or change.b].info
        shape = only.shape
        if change.a and not change.whole:
            pair = (only.shape[:1], stored[change.a].info.shape[1:2])
            shape = pair[1] + pair[0] if change.is_embedding else pair[0] + pair[1]
        targets[name] = Target(change, TensorInfo(name, shape, only.dtype))
    return targets


def _over(changes: Mapping[str, Change], file: MappedFile, base: Checkpoint) -> dict[str, Target]:
    """Tie every change to a tensor of the base.

    Raises:
        MismatchError: naming what the base does not have.
    """
    ends = _by_end(base)
    targets, strangers = {}, []
    for name, change in changes.items():
        base_name = name if name in base else ends.get(name, "")
        if not base_name and not change.whole:
            strangers.append(name)
            continue
        info = base.info(base_name) if base_name else file.header.tensors[change.whole].info
        shape = file.header.tensors[change.whole].info.shape if change.whole else info.shape
        at = base_name or name
        targets[at] = Target(change, TensorInfo(at, shape, info.dtype), base_name)
        if info.dtype not in FLOATING:
            strangers.append(f"{at} (stored as {info.dtype})")
    if strangers:
        listed = ", ".join(strangers[:3])
        raise MismatchError(
            f"{len(strangers):,} tensors of the adapter have no place in the base: {listed:.200}",
            where=place(file.path),
            fix="Choose the base this adapter was trained on.",
        )
    return targets


def _by_end(base: Checkpoint) -> dict[str, str]:
    """Map names without or with one more leading part to the base's own names.

    A base file may name ``h.0…`` what the running model calls ``transformer.h.0…``.
    """
    prefixes = ("model.", "transformer.", "base_model.", "language_model.")
    ends: dict[str, str] = {}
    for name in base.names:
        for prefix in prefixes:
            ends.setdefault(f"{prefix}{name}", name)
            if name.startswith(prefix):
                ends.setdefault(name.removeprefix(prefix), name)
    return ends
