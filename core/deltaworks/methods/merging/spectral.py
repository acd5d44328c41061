"""What merges by singular vectors share: matrices one way, everything else the mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltaworks.methods.merging.combination import combine
from deltaworks.methods.merging.kernel import checked, flat_base, flat_experts, is_finite
from deltaworks.methods.streaming import not_finite
from deltaworks.numerics.gram import difference
from deltaworks.numerics.polar import polar_factor

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs

WORKING_BYTES = 72
"""A weight: a delta, two decompositions in float64, what is kept; measured at 2048 x 2048."""


@dataclass(frozen=True, slots=True)
class Deltas:
    """The deltas of a matrix, computed one at a time.

    Args:
        base: ``(rows, cols)``, as stored.
        experts: likewise.
    """

    base: Tensor
    experts: Sequence[Tensor]

    def __len__(self) -> int:
        return len(self.experts)

    def __getitem__(self, index: int) -> Tensor:
        return difference(self.experts[index], self.base)

    def summed(self) -> Tensor:
        """Sum of all deltas."""
        total = self[0]
        for index in range(1, len(self)):
            total += self[index]
        return total

    @property
    def rank(self) -> int:
        """Largest rank a matrix of this shape can have."""
        return min(self.base.shape)


MergeMatrix = Callable[[Deltas], "Tensor"]
"""Deltas of a matrix to the merged delta."""


def merge_spectrally(inputs: MergeInputs, merge_matrix: MergeMatrix, scale: float) -> Tensor:
    """Give ``base + scale * merged delta``.

    The merged delta is the mean of the deltas where the tensor is no matrix, or one with
    fewer rows or columns than there are experts.

    Raises:
        NotFiniteError: an input holds NaN or infinity.
    """
    base, experts = flat_base(inputs), flat_experts(inputs)
    shape = inputs.spec.shape
    if len(shape) != 2 or min(shape) < len(experts):
        return checked(combine(experts, [scale / len(experts)] * len(experts), base), inputs)
    deltas = Deltas(base.view(shape), [expert.view(shape) for expert in experts])
    # A decomposition of NaN ends in an error of its own.
    if not is_finite(deltas.base.float()) or not all(is_finite(e.float()) for e in experts):
        raise not_finite(inputs.spec.name)
    merged = merge_matrix(deltas)
    return checked(merged.mul_(scale).add_(deltas.base.float()).reshape(-1), inputs)


def orthogonal_product(
    left: Sequence[Tensor], right: Sequence[Tensor], sigma: Tensor | None = None
) -> Tensor:
    """Give ``L diag(sigma) R'`` after making the columns of L and R orthonormal.

    Args:
        left: blocks of columns, ``(rows, k_i)``.
        right: likewise, ``(cols, k_i)``.
        sigma: one a column; None for ones.
    """
    import torch

    outer, inner = polar_factor(torch.cat(list(left), 1)), polar_factor(torch.cat(list(right), 1))
    return (outer if sigma is None else outer * sigma) @ inner.T
