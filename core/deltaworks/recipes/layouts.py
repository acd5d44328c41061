"""Layers in names: ``model.layers.3.mlp.up_proj.weight`` is in layer 3 of ``model.layers``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_USUAL = re.compile(
    r"(?:^|\.)(?:layers?|h|blocks?|resblocks|encoder_layers|decoder_layers)(?=\.\d+\.)"
)
_ANY = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Spot:
    """A tensor's place in a stack of layers.

    Args:
        stack: what comes before the number, ``model.layers``.
        layer: the number.
        rest: what comes after it.
    """

    stack: str
    layer: int
    rest: str

    @property
    def name(self) -> str:
        """The whole name."""
        return f"{self.stack}.{self.layer}.{self.rest}"

    def at(self, layer: int) -> Spot:
        """The same tensor of another layer."""
        return Spot(self.stack, layer, self.rest)


def spot_of(name: str) -> Spot | None:
    """Read a name; None for a tensor outside of layers, such as an embedding."""
    usual = _USUAL.search(name)
    match = _ANY.search(name, usual.end() if usual else 0)
    if match is None:
        return None
    return Spot(name[: match.start()], int(match[1]), name[match.end() :])


def stacks_of(names: Iterable[str]) -> dict[str, int]:
    """Count the layers of every stack, from the largest number in it."""
    counts: dict[str, int] = {}
    for name in names:
        spot = spot_of(name)
        if spot is not None:
            counts[spot.stack] = max(counts.get(spot.stack, 0), spot.layer + 1)
    return counts


def main_stack(names: Iterable[str], n_layers: int = 0) -> str:
    """Find the stack whose layers slices mean: as long as the config says, else the fullest.

    Args:
        names: of all tensors.
        n_layers: what the config says; 0 when it does not.

    Returns:
        Its name, empty where there are no layers.
    """
    names = tuple(names)
    counts = stacks_of(names)
    fitting = [stack for stack, count in counts.items() if count == n_layers] or list(counts)
    members = dict.fromkeys(fitting, 0)
    for name in names:
        spot = spot_of(name)
        if spot is not None and spot.stack in members:
            members[spot.stack] += 1
    return max(members, key=lambda stack: members[stack], default="")
