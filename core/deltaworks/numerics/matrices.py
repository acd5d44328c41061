"""Any tensor as a stack of matrices, for methods that speak of rows and columns."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack of matrices of one size.

    Args:
        count: how many.
        rows: outputs of a linear layer.
        cols: inputs of a linear layer.
    """

    count: int
    rows: int
    cols: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the stack as one array."""
        return self.count, self.rows, self.cols

    @property
    def n_elements(self) -> int:
        """Numbers in all matrices."""
        return self.count * self.rows * self.cols


def as_stack(shape: tuple[int, ...]) -> Stack:
    """See a shape as matrices.

    A scalar is 1 x 1, a vector one row, a 3-D tensor a stack (one matrix an expert of a
    mixture), anything deeper ``(out, rest)`` like a convolution.
    """
    if len(shape) <= 1:
        return Stack(1, 1, prod(shape))
    if len(shape) == 3:
        return Stack(*shape)
    return Stack(1, shape[0], prod(shape[1:]))
