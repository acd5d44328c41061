"""What LAPACK's own decomposition says, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.numerics.low_rank.record import NEGLIGIBLE, Svd, nothing

if TYPE_CHECKING:
    from torch import Tensor

_TALL = 1.5
"""From this aspect on, decomposing the triangle of a QR is cheaper."""


def reference_svd(matrix: Tensor) -> Svd:
    """Decompose a matrix the direct way, without the triples that are rounding noise.

    Args:
        matrix: ``(rows, cols)``, finite.
    """
    import torch

    rows, cols = matrix.shape
    if min(rows, cols) == 0:
        return nothing(matrix)
    tall = matrix.double() if rows >= cols else matrix.double().T
    if max(rows, cols) >= _TALL * min(rows, cols):
        basis, triangle = torch.linalg.qr(tall)
        inner, sigma, short = torch.linalg.svd(triangle)
        long = basis @ inner
    else:
        long, sigma, short = torch.linalg.svd(tall, full_matrices=False)
    rank = int((sigma > NEGLIGIBLE * sigma[0]).sum())
    far, near = long[:, :rank].float(), short[:rank].T.float()
    left, right = (far, near) if rows >= cols else (near, far)
    return Svd(left, sigma[:rank].float(), right)
