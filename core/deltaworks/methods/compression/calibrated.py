"""What methods that look at a layer's inputs share: factors of their second moments."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from deltaworks.numerics.factors import Factor, upper_factor
from deltaworks.numerics.matrices import Stack
from deltaworks.options import option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import TensorPair

CALIBRATED: Any = option(
    True,
    title="Use the calibration text",
    help="Whether the inputs that a text gives the layers are looked at, when the job has such a "
    "text. Without, every input counts alike.",
    advanced=True,
    sweepable=True,
)
"""The option by which a setting does without."""

DAMPING: Any = option(
    0.01,
    gt=0.0,
    le=1.0,
    unit="fraction",
    title="Damping",
    help="What is added to the diagonal of the inputs' second moments, beside its mean. More "
    "trusts the text less.",
    log=True,
    advanced=True,
)
"""The option of the damping."""


def grams_for(pair: TensorPair, stack: Stack, *, calibrated: bool) -> list[Tensor] | None:
    """Give the second moments of the inputs of every matrix, or None when there are none."""
    gram = pair.gram if calibrated else None
    if gram is None or gram.shape[-2:] != (stack.cols, stack.cols):
        return None
    return _matrices(gram) if gram.ndim == 2 or len(gram) == stack.count else None


def factors_for(
    pair: TensorPair, stack: Stack, *, calibrated: bool, damping: float, ordered: bool = False
) -> list[Ordered] | None:
    """Give U of every matrix of a stack, once for all settings; None without inputs.

    Args:
        pair: of which tensor.
        stack: its matrices.
        calibrated: whether the setting looks at inputs at all.
        damping: share of the mean diagonal.
        ordered: inputs by falling strength, not in their order.
    """
    if grams_for(pair, stack, calibrated=calibrated) is None:
        return None
    return pair.of_gram(_factoring(damping, ordered))


class Ordered:
    """U of inputs in some order.

    Attributes:
        factor: U and what was done to get it, in the order of ``order``.
        order: place of every input in the weight, or None when they are in their order.
        dead: inputs that are always 0, in the weight's order.
        diagonal: mean squares of the inputs, in the weight's order.
    """

    def __init__(self, gram: Tensor, damping: float, *, ordered: bool) -> None:
        import torch

        self.diagonal = gram.diagonal().clone()
        self.dead = self.diagonal == 0
        self.order: Tensor | None = None
        if ordered:
            self.order = torch.argsort(self.diagonal, descending=True, stable=True)
            gram = gram[self.order][:, self.order]
        self.factor: Factor = upper_factor(gram, damping=damping)


@cache
def _factoring(damping: float, ordered: bool) -> Callable[[Tensor], list[Ordered]]:
    """Give one function for one way of factoring; it is the key under which it is shared."""

    def factors(gram: Tensor) -> list[Ordered]:
        return [Ordered(matrix, damping, ordered=ordered) for matrix in _matrices(gram)]

    return factors


def _matrices(gram: Tensor) -> list[Tensor]:
    return [gram] if gram.ndim == 2 else list(gram)
