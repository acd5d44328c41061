"""Low rank: the largest singular triples of a delta, as two thin factors.

Source: LoRA extraction as in arcee-ai/mergekit, and the low-rank baseline of
arXiv:2406.08903. The singular value is shared between the factors, so that both have
the same spread in float16: ``A = sqrt(S) V'`` and ``B = U sqrt(S)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from deltaworks.methods.compression.parts import finite_delta, one_float, take
from deltaworks.methods.compression.triples import exact_svd, triples_of
from deltaworks.methods.compression_record import CompressionMethod, SizeOption
from deltaworks.numerics.halves import unit_for
from deltaworks.numerics.low_rank import Svd, sketched_svd
from deltaworks.numerics.matrices import Stack, as_stack
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec

_BITS = 1.0


class LowRankOptions(Options):
    """Options of low rank."""

    bits: float = option(
        _BITS,
        gt=0.0,
        le=16.0,
        unit="bits",
        title="Bits per weight",
        help="What the factors may cost; the rank follows. It is at least 1 for every "
        "matrix. Leave it as it is when you choose a rank.",
        step=0.25,
        sweepable=True,
        sweep=(0.25, 0.5, 1.0, 2.0),
    )
    rank: int = option(
        0,
        ge=0,
        le=65536,
        title="Rank",
        help="At 0 the bits per weight decide; else so many singular triples are kept of "
        "every matrix.",
        sweepable=True,
    )
    solver: Literal["auto", "exact", "sketch"] = option(
        "auto",
        title="Decomposition",
        help="Exact decomposes every matrix as a whole, slow where they are large. Sketch finds "
        "the largest triples alone; its error is at most about a hundredth above the least "
        "possible one. Automatic takes what is quicker.",
        advanced=True,
        labels={"auto": "Automatic", "exact": "Exact", "sketch": "Sketch"},
    )

    dropped: ClassVar[Mapping[str, str]] = {
        "budget": "a rank above 0 decides alone, and with rank 0 the bits do"
    }

    @model_validator(mode="after")
    def _one_of_two(self) -> LowRankOptions:
        """Refuse bits that would have no effect."""
        if self.rank and self.bits != _BITS:
            raise ValueError(
                f"rank {self.rank} and bits {self.bits:g} are both chosen; "
                f"give one, with rank 0 or bits {_BITS:g}"
            )
        return self


def rank_for(stack: Stack, options: LowRankOptions) -> int:
    """Rank of every matrix of a stack: as asked, at least 1, at most what there is."""
    most = min(stack.rows, stack.cols)
    if options.rank:
        return min(options.rank, most)
    wanted = options.bits * stack.rows * stack.cols / (16 * max(1, stack.rows + stack.cols))
    return min(max(1, int(wanted)), most)


def encode(pair: TensorPair, options: LowRankOptions) -> Parts:
    """Store the factors ``B A`` of the best approximation of that rank."""
    stack = as_stack(pair.spec.shape)
    rank = rank_for(stack, options)
    delta = finite_delta(pair)
    # sigma_1 is at most sqrt(rows cols) times the largest entry: factors stay in range.
    unit = unit_for(float(delta.abs().max()) if delta.numel() else 0.0) * 2.0**15
    right = np.zeros((stack.count, rank, stack.cols), dtype=np.float16)
    left = np.zeros((stack.count, stack.rows, rank), dtype=np.float16)
    if rank:
        for number, svd in enumerate(_triples(pair, rank, options)):
            kept = min(rank, len(svd.sigma))
            root = (svd.sigma[:kept] / unit).sqrt()
            left[number, :, :kept] = (svd.left[:, :kept] * root).half().numpy()
            right[number, :kept] = (svd.right[:, :kept] * root).T.half().numpy()
    if len(pair.spec.shape) != 3:
        left, right = left[0], right[0]
    return {"A": right, "B": left, "unit": one_float(unit)}


def _triples(pair: TensorPair, rank: int, options: LowRankOptions) -> list[Svd]:
    if options.solver == "exact":
        return pair.once(exact_svd)
    return pair.once(_sketch(rank)) if options.solver == "sketch" else triples_of(pair, rank)


@cache
def _sketch(rank: int) -> Callable[[Tensor], list[Svd]]:
    def sketch(delta: Tensor) -> list[Svd]:
        matrices = delta.reshape(as_stack(tuple(delta.shape)).shape)
        return [sketched_svd(matrix, rank) for matrix in matrices]

    return sketch


def triples(shape: tuple[int, ...], options: LowRankOptions) -> int:
    """Triples of each matrix that are shared with other settings."""
    return rank_for(as_stack(shape), options) if options.solver == "auto" else 0


def decode(parts: Parts, spec: TensorSpec, options: LowRankOptions) -> Tensor:
    """Multiply the factors."""
    import torch

    stack = as_stack(spec.shape)
    rank = rank_for(stack, options)
    lead = (stack.count,) if len(spec.shape) == 3 else ()
    right = take(parts, "A", np.float16, (*lead, rank, stack.cols), spec)
    left = take(parts, "B", np.float16, (*lead, stack.rows, rank), spec)
    unit = float(take(parts, "unit", np.float32, (1,), spec)[0])
    product = torch.from_numpy(left.astype(np.float32)) @ torch.from_numpy(right.astype(np.float32))
    return product.mul_(unit).reshape(spec.shape)


def stored_bits(shape: tuple[int, ...], options: LowRankOptions) -> float:
    """Bits of the factors and the unit."""
    stack = as_stack(shape)
    return 16.0 * stack.count * rank_for(stack, options) * (stack.rows + stack.cols) + 32


def payload_bits(parts: Parts, spec: TensorSpec, options: LowRankOptions) -> float:  # noqa: ARG001
    """Bits of the factors."""
    return 8.0 * (parts["A"].nbytes + parts["B"].nbytes)


METHOD = CompressionMethod(
    id="low-rank",
    title="Low rank (SVD)",
    family="compression",
    summary="Keeps the strongest directions of each change; can become a LoRA adapter.",
    source="arXiv:2406.08903 (baseline), arcee-ai/mergekit",
    decomposes=True,
    options=LowRankOptions,
    evidence="The formula is the definition of truncation; nothing is uncertain.",
    encode=encode,
    decode=decode,
    stored_bits=stored_bits,
    payload_bits=payload_bits,
    triples=triples,
    working_bytes=40,
    size_option=SizeOption("bits", 1e-3, 16.0, grows=True),
)
