"""Decompositions on a device, where the job has one: Gram matrices in float64, many at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from deltaworks.numerics.device_link import DeviceLink, current_link
from deltaworks.numerics.low_rank.gram import ORTHOGONAL
from deltaworks.numerics.low_rank.record import NEGLIGIBLE, Svd

if TYPE_CHECKING:
    from torch import Tensor

_AT_ONCE = 1 << 27
"""Numbers in float64 that are worked on at once: 1 GiB a copy."""
_LEAST_SIDE = 256
"""Smaller matrices are done before a device has begun."""


def link_for(rows: int, cols: int) -> DeviceLink | None:
    """Give the device that matrices of a shape should go to; None for the CPU."""
    return current_link() if min(rows, cols) >= _LEAST_SIDE else None


def device_svd(link: DeviceLink, matrices: Tensor, rank: int) -> Iterator[Svd | None]:
    """Decompose a stack of matrices on a device.

    Args:
        link: the way there.
        matrices: ``(count, rows, cols)``, finite.
        rank: triples wanted at least, at most the smaller side.

    Yields:
        One for each, on the CPU; None where it did not come out orthonormal.
    """
    rows, cols = matrices.shape[1:]
    at_once = max(1, _AT_ONCE // max(1, rows * cols))

    def triples(part: Tensor) -> tuple[Tensor, ...]:
        return _triples(part, rank)

    for near, far, sigma in link.run_in_parts(triples, matrices, at_once=at_once):
        for number in range(len(near)):
            yield _checked(near[number], far[number], sigma[number], rank, is_wide=rows <= cols)


def _triples(matrices: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """Give vectors of the smaller side, of the larger one, and all singular values."""
    import torch

    wide = matrices.to(torch.float64)
    wide = wide if wide.shape[1] <= wide.shape[2] else wide.mT
    values, vectors = torch.linalg.eigh(wide @ wide.mT)
    sigma = values.flip(-1).clamp_min(0).sqrt()
    near = vectors.flip(-1)[..., :rank]
    length = sigma[:, None, :rank]
    far = (wide.mT @ near) / torch.where(length > 0, length, 1.0)
    return near.contiguous(), far.contiguous(), sigma.contiguous()


def _checked(near: Tensor, far: Tensor, sigma: Tensor, rank: int, *, is_wide: bool) -> Svd | None:
    count = int((sigma > NEGLIGIBLE * sigma[:1]).sum().clamp(max=rank))
    long = far[:, :count]
    products = long.mT @ long
    products.diagonal().sub_(1.0)
    if count and float(products.abs().max()) >= ORTHOGONAL:
        return None
    sides = near[:, :count].float(), long.float()
    left, right = sides if is_wide else sides[::-1]
    return Svd(left, sigma[:count].float(), right, count < rank or rank == len(sigma))
