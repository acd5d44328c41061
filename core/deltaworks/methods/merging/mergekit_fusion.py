"""Arcee fusion, in mergekit's order of operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_LEAST_CHANCE = 1e-8


def arcee_fusion(
    base: Tensor | None,
    experts: list[Tensor],
    options: Any,  # noqa: ARG001
    each: Sequence[Any],  # noqa: ARG001
) -> Tensor:
    """Take the changes that stand out; the sum is in float32."""
    import torch

    assert base is not None
    (other,) = experts
    chance = torch.softmax(other, -1) + _LEAST_CHANCE
    before = torch.softmax(base, -1) + _LEAST_CHANCE
    divergence = (chance * torch.log(chance / before)).sum(-1, keepdim=True)
    scores = (other - base).abs() * divergence
    ranked = torch.sort(scores.view(-1))[0]
    first, median, third = (ranked[int(q * (len(ranked) - 1))] for q in (0.25, 0.5, 0.75))
    is_taken = scores >= median + 1.5 * (third - first)
    return base + (other - base) * is_taken.float()
