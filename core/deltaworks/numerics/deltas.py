"""The difference of two tensors in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.numerics.chunks import spans

if TYPE_CHECKING:
    from torch import Tensor

_PIECE = 1 << 16


def delta_of(tuned: Tensor, base: Tensor) -> Tensor:
    """Give ``tuned - base`` in float32.

    Both are widened before they are subtracted, piece by piece, so that only the result
    goes through memory.

    Args:
        tuned: any floating dtype.
        base: of the same shape.
    """
    import torch

    if tuned.shape != base.shape:
        raise ValueError(f"shapes {list(tuned.shape)} and {list(base.shape)} differ")
    out = torch.empty(tuned.shape, dtype=torch.float32)
    flat, new, old = out.view(-1), tuned.reshape(-1), base.reshape(-1)
    buffer = torch.empty(min(len(flat), _PIECE))
    for span in spans(len(flat), _PIECE):
        flat[span].copy_(new[span]).sub_(buffer[: span.stop - span.start].copy_(old[span]))
    return out
