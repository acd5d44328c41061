"""The orthogonal part of a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.numerics.low_rank import thin_svd

if TYPE_CHECKING:
    from torch import Tensor


def polar_factor(matrix: Tensor) -> Tensor:
    """Give ``P Q'`` of ``P D Q'``: the nearest matrix with orthonormal columns (or rows).

    Directions without length are left out, so that the result does not depend on how a
    decomposition fills them up: its rank is that of ``matrix``.

    Args:
        matrix: ``(rows, cols)`` float32, finite.
    """
    svd = thin_svd(matrix)
    return svd.left @ svd.right.T
