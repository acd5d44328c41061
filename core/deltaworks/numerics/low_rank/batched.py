"""Many matrices of one shape decomposed at once, on a device where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from deltaworks.numerics.chunks import spans
from deltaworks.numerics.low_rank.choice import top_svd
from deltaworks.numerics.low_rank.gram import ORTHOGONAL
from deltaworks.numerics.low_rank.record import NEGLIGIBLE, Svd

if TYPE_CHECKING:
    from torch import Tensor

_AT_ONCE = 1 << 27
"""Numbers in float64 that are worked on at once: 1 GiB a copy."""


def batched_svd(
    matrices: Tensor, rank: int | None = None, device: str = "cpu", name: str = ""
) -> list[Svd]:
    """Decompose a stack of matrices like ``top_svd``.

    On the CPU one after another, the cheapest way for each: that keeps a core's cache.
    Elsewhere the Gram matrices of many go through one call in float64, and what does not
    come out orthonormal is done again on the CPU.

    Args:
        matrices: ``(count, rows, cols)``, finite.
        rank: triples wanted at least; None for all.
        device: as torch names it.
        name: of the tensor.

    Returns:
        One for each, on the CPU.
    """
    count, rows, cols = matrices.shape
    wanted = min(rows, cols) if rank is None else min(rank, rows, cols)
    if device == "cpu" or wanted == 0:
        return [
            top_svd(one, wanted, f"{name}[{number}]" if count > 1 else name)
            for number, one in enumerate(matrices)
        ]
    at_once = max(1, _AT_ONCE // max(1, rows * cols))
    found: list[Svd] = []
    for span in spans(count, at_once):
        for one, svd in zip(matrices[span], _on(matrices[span], wanted, device), strict=True):
            found.append(svd or top_svd(one, wanted, name))
    return found


def _on(matrices: Tensor, rank: int, device: str) -> Iterator[Svd | None]:
    """Give the triples of each matrix; None where they are not orthonormal."""
    import torch

    rows, cols = matrices.shape[1:]
    wide = matrices.to(device, torch.float64)
    wide = wide if rows <= cols else wide.mT
    values, vectors = torch.linalg.eigh(wide @ wide.mT)
    sigma = values.flip(-1).clamp_min(0).sqrt()
    kept = (sigma > NEGLIGIBLE * sigma[:, :1]).sum(dim=1).clamp(max=rank)
    near = vectors.flip(-1)[..., :rank]
    length = sigma[:, None, :rank]
    far = (wide.mT @ near) / torch.where(length > 0, length, 1.0)
    there = kept.tolist()
    for number, count in enumerate(there):
        long = far[number, :, :count]
        products = long.mT @ long
        products.diagonal().sub_(1.0)
        if count and float(products.abs().max()) >= ORTHOGONAL:
            yield None
            continue
        sides = near[number, :, :count].float().cpu(), long.float().cpu()
        left, right = sides if rows <= cols else sides[::-1]
        is_whole = count < rank or rank == min(rows, cols)
        yield Svd(left, sigma[number, :count].float().cpu(), right, is_whole)
