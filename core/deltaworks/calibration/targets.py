"""Which weights a pass watches, and the modules of a built model that use them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltaworks.checkpoints import roles_of
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.inference.slots import match

if TYPE_CHECKING:
    from torch.nn import Module


@dataclass(frozen=True, slots=True)
class Targets:
    """Weights that are watched.

    Args:
        modules: stored name of a 2-D weight to the module that multiplies by it.
        stacks: module name to module of experts kept as one 3-D weight each.
        missing: stored names that no module was found for.
        places: stored name of every tensor to its name in the model.
    """

    modules: dict[str, Module]
    stacks: dict[str, Module]
    missing: tuple[str, ...]
    places: dict[str, str]


def linear_names(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Name the weight matrices inside blocks, which methods treat by default."""
    infos = [checkpoint.info(name) for name in checkpoint.names]
    roles = roles_of(infos, checkpoint.config)
    return tuple(
        info.name for info in infos if roles[info.name].role == "linear" and len(info.shape) > 1
    )


def find_targets(model: Module, checkpoint: Checkpoint, names: Collection[str]) -> Targets:
    """Find the modules of stored weights.

    Args:
        model: built from the checkpoint's config, its weights set or not.
        checkpoint: whose names count.
        names: weights to be watched.

    Raises:
        MismatchError: the model is not that of the checkpoint.
    """
    places: dict[str, str] = {}
    for filling in match(model, checkpoint):
        for stored in (filling.source, *filling.twins):
            places[stored] = filling.slot.names[0]
    modules: dict[str, Module] = {}
    stacks: dict[str, Module] = {}
    missing: list[str] = []
    known = dict(model.named_modules())
    for name in names:
        place = places.get(name, "")
        parent, _, leaf = place.rpartition(".")
        module = known.get(parent)
        n_axes = len(checkpoint.info(name).shape)
        if module is not None and leaf == "weight" and n_axes == 2:
            modules[name] = module
        elif module is not None and n_axes == 3 and hasattr(module, leaf):
            stacks[parent] = module
        else:
            missing.append(name)
    return Targets(modules, stacks, tuple(missing), places)
