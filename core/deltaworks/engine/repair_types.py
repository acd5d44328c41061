"""A repair before it runs: its models, its options, and where every tensor comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deltaworks.checkpoints.adapter import AdapterCheckpoint
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.methods.method import Statistic
from deltaworks.methods.safety_record import OptionalModel, SafetyMethod
from deltaworks.options import Options
from deltaworks.recipes.schema import RepairRecipe

Origin = Literal["repaired", "aligned", "tuned"]


@dataclass(frozen=True, slots=True)
class RepairTask:
    """Where one tensor of the result comes from.

    Args:
        info: of the result.
        origin: repaired, or copied from which model.
        layer: name inside its block; empty outside blocks.
        is_transposed: stored ``(in, out)``.
        n_common: rows that both models have; those beyond are the fine-tune's.
    """

    info: TensorInfo
    origin: Origin
    layer: str = ""
    is_transposed: bool = False
    n_common: int = 0

    @property
    def has_grown(self) -> bool:
        """Whether the fine-tune has further rows, of new words."""
        return bool(self.info.shape) and 0 < self.n_common < self.info.shape[0]


@dataclass(frozen=True)
class RepairJob:
    """Everything that is known before the first tensor is read.

    Args:
        recipe: what to do.
        aligned: the model that still refuses.
        tuned: its fine-tune.
        others: optional models that were given and that the method can use.
        method: the recipe's.
        options: all of them.
        statistics: which statistics of texts these options need.
        tasks: by tensor, in the aligned model's order.
        notes: what the user should know.
        keeps_adapter: whether the result is an adapter.
    """

    recipe: RepairRecipe
    aligned: Checkpoint
    tuned: Checkpoint
    others: Mapping[OptionalModel, Checkpoint]
    method: SafetyMethod
    options: Options
    statistics: tuple[Statistic, ...]
    tasks: Mapping[str, RepairTask]
    notes: tuple[str, ...] = ()
    keeps_adapter: bool = False

    @property
    def target(self) -> Path:
        """Folder of the result."""
        return Path(self.recipe.output)

    @property
    def models(self) -> list[Checkpoint]:
        """Every input, in a fixed order."""
        return [self.aligned, self.tuned, *self.others.values()]

    @property
    def by_role(self) -> dict[str, Checkpoint]:
        """Every input by what it is."""
        return {"aligned": self.aligned, "tuned": self.tuned, **self.others}  # type: ignore[dict-item]

    @property
    def adapter(self) -> AdapterCheckpoint | None:
        """The fine-tune where it is an adapter."""
        return self.tuned if isinstance(self.tuned, AdapterCheckpoint) else None

    @property
    def repaired(self) -> tuple[str, ...]:
        """Names of the tensors that the method treats."""
        return tuple(name for name, task in self.tasks.items() if task.origin == "repaired")
