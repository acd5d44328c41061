"""Where one tensor of a merge comes from."""

from __future__ import annotations

from dataclasses import dataclass

from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.options import Options


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor of one model.

    Args:
        model: place among the experts; -1 is the base.
        name: as it is stored there.
        options: of this expert for this tensor; None where it has no part in arithmetic.
    """

    model: int
    name: str
    options: Options | None = None


@dataclass(frozen=True, slots=True)
class MergeTask:
    """Where one tensor of the result comes from.

    Args:
        info: of the result.
        sources: experts that take part, in the recipe's order. For a copy, the other
            models that have the tensor too.
        base: what deltas are taken from, where the method takes any.
        copied: whose tensor the result is; None for a merge.
        method: the recipe's, or the plain mean where the base has no such tensor.
        options: of the method for this tensor.
        layer: in the result; None outside of layers.
    """

    info: TensorInfo
    sources: tuple[Source, ...] = ()
    base: Source | None = None
    copied: Source | None = None
    method: MergingMethod | None = None
    options: Options | None = None
    layer: int | None = None

    @property
    def read(self) -> tuple[Source, ...]:
        """What has to be read for it, beside what a copy is compared with."""
        if self.copied is not None:
            return (self.copied,)
        return (*([self.base] if self.base else []), *self.sources)
