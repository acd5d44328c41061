"""Many matrices of one shape decomposed at once, on a device where the job has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.numerics.low_rank.choice import top_svd
from deltaworks.numerics.low_rank.device import device_svd, link_for
from deltaworks.numerics.low_rank.record import Svd

if TYPE_CHECKING:
    from torch import Tensor


def batched_svd(matrices: Tensor, rank: int | None = None, name: str = "") -> list[Svd]:
    """Decompose a stack of matrices like ``top_svd``.

    On the CPU one after another, the cheapest way for each: that keeps a core's cache.
    On a device the Gram matrices of many go through one call in float64, and what does not
    come out orthonormal is done again on the CPU.

    Args:
        matrices: ``(count, rows, cols)``, finite.
        rank: triples wanted at least; None for all.
        name: of the tensor.

    Returns:
        One for each, on the CPU.
    """
    count, rows, cols = matrices.shape
    wanted = min(rows, cols) if rank is None else min(rank, rows, cols)
    link = link_for(rows, cols)
    if link is None or wanted == 0:
        return [
            top_svd(one, wanted, f"{name}[{number}]" if count > 1 else name)
            for number, one in enumerate(matrices)
        ]
    return [
        svd or top_svd(one, wanted, name)
        for one, svd in zip(matrices, device_svd(link, matrices, wanted), strict=True)
    ]
