"""What a transfer method is: which block of a larger matrix, and what a smaller one starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from deltaworks.methods.method import Method

if TYPE_CHECKING:
    from torch import Tensor

Scores = npt.NDArray[np.floating[Any]]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """Rows and columns of a larger matrix that make a smaller one.

    Args:
        rows: ascending; ``cols`` likewise.
        share: of the matrix's sensitivity that lies in it.
    """

    rows: Places
    cols: Places
    share: float


@dataclass(frozen=True, slots=True)
class Factors:
    """A product ``left @ right`` in float32.

    Args:
        left: B, ``(out, rank)``.
        right: A, ``(rank, in)``.
    """

    left: Tensor
    right: Tensor

    def product(self) -> Tensor:
        """Give ``left @ right``."""
        return self.left @ self.right


@dataclass(frozen=True)
class TransferMethod(Method):
    """A method that takes parameters of a larger model over into a smaller one.

    Args:
        aligned: whether what was taken is fitted to the smaller model after it was
            injected, by training, or before, by a network.
        layers: scores of the source's layers, how many are wanted, seed and options to the
            layers that are taken, ascending.
        block: sensitivity of a source matrix, shape wanted, seed, name and options to the block.
        start: the block's numbers, name and options to the factors that training starts from.
    """

    aligned: Literal["after", "before"] = field(kw_only=True)
    layers: Callable[[Sequence[float], int, int, Any], list[int]] = field(kw_only=True)
    block: Callable[[Scores, tuple[int, int], int, str, Any], Block] = field(kw_only=True)
    start: Callable[[Tensor, str, Any], Factors] = field(kw_only=True)
