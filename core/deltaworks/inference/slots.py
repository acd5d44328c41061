"""Where each stored tensor goes in a built model, tied names and all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.errors import MismatchError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_COMPUTED = re.compile(r"(^|\.)(rotary_emb\.inv_freq|attn\.(masked_)?bias|position_ids)$")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Slot:
    """One parameter or stored buffer of the model.

    Args:
        names: every name it goes by; several when it is tied.
        tensor: the model's own storage, filled in place.
    """

    names: tuple[str, ...]
    tensor: Tensor


@dataclass(frozen=True, slots=True)
class Filling:
    """A slot and the checkpoint's names for it.

    Args:
        slot: where the numbers go.
        source: the name to read.
        twins: further stored names that must hold the same numbers.
    """

    slot: Slot
    source: str
    twins: tuple[str, ...] = ()


def slots_of(model: Module) -> tuple[Slot, ...]:
    """List the storages that a checkpoint must fill, tied names grouped."""
    groups: dict[int, tuple[list[str], Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        groups.setdefault(id(tensor), ([], tensor))[0].append(name)
    return tuple(Slot(tuple(names), tensor) for names, tensor in groups.values())


def match(model: Module, checkpoint: Checkpoint) -> tuple[Filling, ...]:
    """Pair every slot with a stored tensor, before any number is copied.

    Raises:
        MismatchError: names or shapes do not fit; all faults in one sentence.
    """
    prefix = str(getattr(model, "base_model_prefix", ""))
    stored = {_model_name(name, model, prefix): name for name in checkpoint.names}
    fillings, missing = [], []
    for slot in slots_of(model):
        found = [stored.pop(name) for name in slot.names if name in stored]
        if found:
            fillings.append(Filling(slot, found[0], tuple(found[1:])))
        else:
            missing.append(slot.names[0])
    unexpected = [name for name in stored.values() if not _is_computed(name, model)]
    _refuse(checkpoint, missing, unexpected, [_shape_fault(f, checkpoint) for f in fillings])
    return tuple(fillings)


def _model_name(name: str, model: Module, prefix: str) -> str:
    """Add the prefix that checkpoints saved from the bare backbone leave out (GPT-2)."""
    if not prefix or name.startswith(f"{prefix}."):
        return name
    first = name.split(".", 1)[0]
    is_bare = not hasattr(model, first) and hasattr(getattr(model, prefix, None), first)
    return f"{prefix}.{name}" if is_bare else name


def _is_computed(name: str, model: Module) -> bool:
    """Whether the model works the tensor out itself, as rotary frequencies and masks."""
    return bool(_COMPUTED.search(name)) or name in {n for n, _ in model.named_buffers()}


def _shape_fault(filling: Filling, checkpoint: Checkpoint) -> str:
    want = tuple(filling.slot.tensor.shape)
    have = checkpoint.info(filling.source).shape
    return "" if have == want else f"{filling.source} is {have} here, {want} in the model"


def _refuse(
    checkpoint: Checkpoint, missing: list[str], unexpected: list[str], shapes: list[str]
) -> None:
    faults = [text for text in shapes if text][:_SHOWN]
    if missing:
        faults.append(f"{len(missing)} missing tensors ({_some(missing)})")
    if unexpected:
        faults.append(f"{len(unexpected)} tensors that the model lacks ({_some(unexpected)})")
    if faults:
        raise MismatchError(
            "; ".join(faults),
            where=str(checkpoint.path),
            fix="The weights and config.json must describe the same architecture",
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
