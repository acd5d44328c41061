"""What a transfer knows before its first number is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltaworks.calibration.texts import Texts
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.methods.transfer.record import TransferMethod
from deltaworks.recipes.schema import TransferRecipe


@dataclass(frozen=True, slots=True)
class Place:
    """One matrix of the target that is transferred into.

    Args:
        info: name, shape and dtype in the target.
        block: number of its layer.
        layer: its name inside the layer, which is the source's as well.
    """

    info: TensorInfo
    block: int
    layer: str

    @property
    def module(self) -> str:
        """The module it is the weight of."""
        return self.info.name.rpartition(".")[0]


@dataclass(frozen=True)
class TransferJob:
    """Models and texts, open and checked.

    Args:
        recipe: what to do.
        method: of the recipe, with ``options``.
        options: of the method.
        source: the larger model.
        target: the smaller one.
        places: matrices of the target, in file order.
        sources: names in the source by (layer number, name inside the layer).
        depth: layers of the source, and of the target.
        texts: by field of the recipe; what was not given is not there.
    """

    recipe: TransferRecipe
    method: TransferMethod
    options: Any
    source: Checkpoint
    target: Checkpoint
    places: tuple[Place, ...]
    sources: Mapping[tuple[int, str], str]
    depth: tuple[int, int]
    texts: Mapping[str, Texts]

    @property
    def output(self) -> Path:
        """The folder that is made."""
        return Path(self.recipe.output)

    @property
    def arms(self) -> tuple[str, ...]:
        """What is trained, the method first."""
        return (self.method.id, *dict.fromkeys(self.recipe.arms))

    @property
    def scale(self) -> float:
        """What multiplies the product of factors."""
        return float(self.options.alpha / self.options.rank)
