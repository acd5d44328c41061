"""Delta-CoMe: singular vectors in mixed precision.

Source: Ping et al., "Delta-CoMe: Training-Free Delta-Compression with Mixed-Precision for
Large Language Models", arXiv:2406.08903, and the authors' code. Ranks 0 and 1 get 8 bits,
2 to 33 get 3, later ones 2. With a text, codes are chosen by GPTQ; without, they are rounded
to nearest, which is what GPTQ does when inputs are uncorrelated and equally strong.
Departures: inputs are those of the unchanged model, not of one already compressed. The
rank follows from the budget for every shape; the classes are filled in their order, so
that small matrices stay in it. Groups run along the vectors of U as of V.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deltaworks.methods.compression.calibrated import CALIBRATED, DAMPING
from deltaworks.methods.compression.factor_codes import code_factors, inputs_for
from deltaworks.methods.compression.parts import take
from deltaworks.methods.compression.rank_codes import (
    bits_of_places,
    code_bits,
    code_vectors,
    decode_vectors,
    rank_for_bits,
    vector_bits,
)
from deltaworks.methods.compression.triples import (
    full_masks,
    joined,
    products,
    read_ranks,
    scales_of,
    survivors,
    triples_of,
    whole,
)
from deltaworks.methods.compression_record import CompressionMethod, SizeOption
from deltaworks.methods.method import Needs
from deltaworks.numerics.matrices import Stack, as_stack
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec


class DeltaComeOptions(Options):
    """Options of Delta-CoMe."""

    bits: float = option(
        1.0,
        gt=0.0,
        le=8.0,
        unit="bits",
        title="Bits per weight",
        help="What the codes of both factors may cost, as the paper counts; scales add about "
        "a tenth. The rank follows from the size of each matrix, at least 1.",
        step=0.25,
        sweepable=True,
        sweep=(0.25, 0.5, 1.0, 2.0),
    )
    group_size: int = option(
        128,
        ge=8,
        le=65536,
        unit="entries",
        title="Group size",
        help="Entries of a vector that share a scale. Smaller groups follow the vector "
        "better and cost more: 24 bits a group.",
        step=8,
        log=True,
        advanced=True,
        sweepable=True,
    )
    damping: float = DAMPING
    calibrated: bool = CALIBRATED


def rank_for(stack: Stack, options: DeltaComeOptions) -> int:
    """Rank of every matrix of a stack: what the budget holds, at least 1, at most all."""
    most = min(stack.rows, stack.cols)
    budget = options.bits * stack.rows * stack.cols / max(1, stack.rows + stack.cols)
    return min(max(1, rank_for_bits(budget, most)), most)


def encode(pair: TensorPair, options: DeltaComeOptions) -> Parts:
    """Store codes of the vectors and the singular values."""
    stack = as_stack(pair.spec.shape)
    rank = rank_for(stack, options)
    svds = triples_of(pair, rank)
    kept = whole(stack, [min(rank, len(svd.sigma)) for svd in svds])
    masks = full_masks(kept)
    left, right = survivors(svds, kept, masks)
    scales = scales_of(svds, kept, rescale=False)
    parts: Parts = {"rank": kept.ranks, "S": scales}
    inputs = inputs_for(pair, stack, calibrated=options.calibrated, damping=options.damping)
    if inputs is not None:
        size = options.group_size
        return parts | code_factors(left, right, scales, kept, masks, inputs, size)
    parts |= code_vectors("U", left, kept.left, kept, options.group_size)
    return parts | code_vectors("V", right, kept.right, kept, options.group_size)


def triples(shape: tuple[int, ...], options: DeltaComeOptions) -> int:
    """Triples that encoding takes of each matrix."""
    return rank_for(as_stack(shape), options)


def decode(parts: Parts, spec: TensorSpec, options: DeltaComeOptions) -> Tensor:
    """Multiply the factors."""
    stack = as_stack(spec.shape)
    kept = whole(stack, read_ranks(parts, stack, spec).tolist())
    scales = take(parts, "S", np.float32, (int(kept.ranks.sum()),), spec)
    left = decode_vectors("U", parts, kept.left, kept, options.group_size, spec)
    right = decode_vectors("V", parts, kept.right, kept, options.group_size, spec)
    return joined(products(left, right, scales, kept, full_masks(kept)), spec.shape)


def stored_bits(shape: tuple[int, ...], options: DeltaComeOptions) -> float:
    """Bits of codes, scales and singular values, at the rank that the budget holds."""
    stack = as_stack(shape)
    rank = rank_for(stack, options) if stack.n_elements else 0
    widths = np.tile(bits_of_places(rank), stack.count)
    factors = sum(
        vector_bits(widths, length, options.group_size) for length in (stack.rows, stack.cols)
    )
    return factors + 32.0 * stack.count * (rank + 1)


def payload_bits(parts: Parts, spec: TensorSpec, options: DeltaComeOptions) -> float:  # noqa: ARG001
    """Bits of the codes."""
    return code_bits(parts)


METHOD = CompressionMethod(
    id="delta-come",
    title="Delta-CoMe",
    family="compression",
    summary="Keeps many singular vectors in few bits, the strongest in more.",
    source="arXiv:2406.08903",
    decomposes=True,
    options=DeltaComeOptions,
    needs=Needs(helped_by=("gram",)),
    evidence="The authors' code was read. With a text codes are chosen by GPTQ, from the inputs of "
    "the unchanged model; without one they are rounded to nearest.",
    encode=encode,
    decode=decode,
    stored_bits=stored_bits,
    payload_bits=payload_bits,
    triples=triples,
    working_bytes=52,
    size_option=SizeOption("bits", 1e-2, 8.0, grows=True),
)
