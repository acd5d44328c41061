"""Weighted sums of models, for methods whose result lies in the span of their inputs.

Such a method needs the dot products of its inputs (``numerics.gram``), a few factors
computed from them in float64, and one pass over the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deltaworks.numerics.chunks import spans
from deltaworks.numerics.gram import difference

if TYPE_CHECKING:
    from torch import Tensor


def combine(vectors: Sequence[Tensor], factors: Sequence[float], origin: Tensor | None) -> Tensor:
    """Give ``o + sum f_i (x_i - o)`` in float32.

    Args:
        vectors: flat, as stored.
        factors: one a vector.
        origin: o, likewise; None for zero.
    """
    import torch

    out = torch.zeros(vectors[0].numel())
    for span in spans(len(out)):
        piece = out[span]
        start = None if origin is None else origin[span]
        for vector, factor in zip(vectors, factors, strict=True):
            piece.add_(difference(vector[span], start), alpha=factor)
        if start is not None:
            piece.add_(start.float())
    return out
