"""Where low-rank training begins: transferred factors, and the controls beside them.

All begin with the function of the untouched model: what the factors add is taken away from
the frozen weight (``zeroed``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from deltaworks.methods.transfer.record import Factors
from deltaworks.numerics.seeds import rng_for

if TYPE_CHECKING:
    from torch import Tensor

Split = Literal["left", "root"]
"""Singular values into B, or their roots into both."""


def factors_of(matrix: Tensor, rank: int, name: str = "", *, split: Split = "left") -> Factors:
    """Truncate the singular value decomposition of a matrix.

    Args:
        matrix: ``(out, in)``.
        rank: at most; a matrix of lower rank is filled up with zeros to ``min(rank, sides)``.
        name: of the tensor, from which a randomised decomposition takes its start.
        split: where the singular values go.
    """
    import torch

    from deltaworks.numerics.low_rank import top_svd

    most = min(rank, *matrix.shape)
    svd = top_svd(matrix.float(), most, name).first(most)
    sigma = svd.sigma.float()
    near, far = (sigma, torch.ones_like(sigma)) if split == "left" else (sigma.sqrt(), sigma.sqrt())
    left = torch.zeros(matrix.shape[0], most)
    right = torch.zeros(most, matrix.shape[1])
    left[:, : len(sigma)] = svd.left.float() * near
    right[: len(sigma)] = (svd.right.float() * far).T
    return Factors(left, right)


def gaussian(shape: tuple[int, int], rank: int, seed: int, name: str) -> Factors:
    """Begin as LoRA does: A uniform within ``1 / sqrt(in)``, B zero."""
    import torch

    most, bound = min(rank, *shape), shape[1] ** -0.5
    drawn = rng_for(seed, name, "gaussian").uniform(-bound, bound, (most, shape[1]))
    return Factors(torch.zeros(shape[0], most), torch.from_numpy(drawn).float())


def random_like(other: Factors, seed: int, name: str) -> Factors:
    """Draw a random block of the same rank and norm, split as ``factors_of`` does by default.

    It tells what is transferred from what only begins larger.
    """
    import torch

    rng = rng_for(seed, name, "same norm")
    (rows, rank), cols = other.left.shape, other.right.shape[1]
    basis = torch.linalg.qr(torch.from_numpy(rng.standard_normal((cols, rank))))[0].T
    left = torch.from_numpy(rng.standard_normal((rows, rank)))
    left *= other.product().double().norm() / left.norm()
    return Factors(left.float(), basis.float().contiguous())


def zeroed(weight: Tensor, start: Factors, scale: float) -> Tensor:
    """Take the factors' product away from a weight, float32, so that adding it changes nothing."""
    folded: Tensor = weight.float() - scale * start.product()
    return folded


def change_of(start: Factors, end: Factors, scale: float) -> Factors:
    """Give the change of the weight, ``scale * (B' A' - B A)``, as factors of twice the rank."""
    import torch

    if not bool(start.left.any()):
        return Factors(scale * end.left, end.right)
    left = torch.cat([scale * end.left, -scale * start.left], dim=1)
    return Factors(left, torch.cat([end.right, start.right]))
