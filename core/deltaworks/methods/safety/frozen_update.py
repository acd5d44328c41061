"""Set some entries of a delta to given values, column by column, and let the rest answer.

Source: Frantar and Alistarh, "SparseGPT", arXiv:2301.00774, as in pikepokenew/IRR.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Choose = Callable[[slice, "Tensor"], "tuple[Tensor, Tensor]"]
"""A block of columns and the delta there so far, to the mask of set entries and their values."""


def frozen_update(
    delta: Tensor, upper: Tensor | None, choose: Choose, *, block: int
) -> tuple[Tensor, float]:
    """Treat columns from left to right; later columns answer for what was set.

    Args:
        delta: ``(out, in)``; not changed.
        upper: U with ``H^-1 = U^T U``; None lets nothing answer.
        choose: says at the start of each block what is set there, and to what.
        block: columns a block.

    Returns:
        The new delta, and the damage of the whole change where something answers: exactly
        half the sum of squared errors.
    """
    out, total = delta.clone(), 0.0
    for start in range(0, delta.shape[1], block):
        span = slice(start, min(start + block, delta.shape[1]))
        mask, values = choose(span, out[:, span])
        if upper is None:
            out[:, span][mask] = values[mask].to(out.dtype)
            continue
        errors = _settle(out[:, span], mask, values, upper[span, span])
        out[:, span.stop :] -= errors @ upper[span, span.stop :]
        total += float(errors.double().square().sum())
    return out, total / 2


def _settle(part: Tensor, mask: Tensor, values: Tensor, upper: Tensor) -> Tensor:
    """Set one block's entries in place; give the errors."""
    import torch

    errors = torch.zeros_like(part)
    for column in range(part.shape[1]):
        chosen = mask[:, column]
        if not chosen.any():
            continue
        value = torch.where(chosen, values[:, column].to(part.dtype), part[:, column])
        error = (part[:, column] - value) / upper[column, column]
        part[:, column:] -= error[:, None] * upper[column, column:]
        part[:, column] = value
        errors[:, column] = error
    return errors
