"""ImPart: thin every singular vector at random, the less important the more.

Source: Yang et al., "ImPart: Importance-Aware Delta-Sparsification for Improved Model
Compression and Merging", arXiv:2504.13237, and the authors' code. Masks come again from
the seed and are not stored. Departures: a budget for every shape (see
``numerics.importance``), counted over the triples that there are; division by the share
truly kept, so that the expectation is exact; vectors as float16 in a power of two, so
that small entries keep their precision; the sums are made in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from deltaworks.methods.compression.parts import take
from deltaworks.methods.compression.triples import (
    Schedule,
    best_gains,
    draw_masks,
    joined,
    kept_parts,
    products,
    read_kept,
    scales_of,
    survivors,
    thinned,
    triples_of,
)
from deltaworks.methods.compression_record import CompressionMethod, SizeOption
from deltaworks.numerics.importance import Floats, cut_for, sparsities, sparsity_for
from deltaworks.numerics.mask_coding import entropy
from deltaworks.numerics.masks import CHECK_BYTES
from deltaworks.numerics.matrices import Stack, as_stack
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec

_STREAM = "impart"


class ImpartOptions(Options):
    """Options of ImPart."""

    ratio: float = option(
        32.0,
        ge=1.0,
        le=4096.0,
        unit="times",
        title="Compression ratio",
        help="Weights of a matrix for each value that is kept. More makes smaller files "
        "and noisier models.",
        step=1,
        log=True,
        sweepable=True,
        sweep=(8.0, 16.0, 32.0, 64.0),
    )
    cut: float = option(
        0.8,
        ge=0.0,
        lt=1.0,
        unit="fraction",
        title="Cut beforehand",
        help="Share of the smallest singular triples that are dropped outright, as for a "
        "square matrix. More keeps fewer vectors, each denser.",
        step=0.1,
        sweepable=True,
    )
    exponent: float = option(
        0.5,
        ge=0.0,
        le=4.0,
        title="Exponent",
        help="How much singular values decide: importance is the value to this power. "
        "Less thins all vectors alike.",
        step=0.25,
        sweepable=True,
    )
    rescale: Literal["unbiased", "none", "lsq"] = option(
        "unbiased",
        title="Rescale",
        help="Scale up what is left so that the delta is right on average, leave it, or "
        "bring it to the least squared error.",
        advanced=True,
        sweepable=True,
        labels={
            "unbiased": "Right on average (as in the paper)",
            "none": "None",
            "lsq": "Least squared error",
        },
    )
    store_mask: bool = option(
        False,
        title="Store the mask",
        help="Write the masks into the file instead of making them again from the seed. "
        "Costs up to a bit for each entry of the vectors kept.",
        advanced=True,
    )


def schedule_for(stack: Stack, options: ImpartOptions) -> Schedule:
    """Give the schedule that fits matrices of a stack into the budget."""

    def schedule(sigma: Floats) -> Floats:
        size = stack.rows, stack.cols, len(sigma)
        sparsity = sparsity_for(*size, options.ratio)
        cut = cut_for(*size, options.cut, sparsity)
        return sparsities(sigma, sparsity, cut, options.exponent)

    return schedule


def encode(pair: TensorPair, options: ImpartOptions) -> Parts:
    """Store the kept entries of the vectors, unscaled, and one scale a triple."""
    stack = as_stack(pair.spec.shape)
    svds = triples_of(pair, triples(pair.spec.shape, options))
    kept = thinned(svds, stack, schedule_for(stack, options))
    masks = draw_masks(kept, pair.spec, _STREAM)
    left, right = (side.astype(np.float16) for side in survivors(svds, kept, masks))
    scales = scales_of(svds, kept, rescale=options.rescale != "none")
    if options.rescale == "lsq":
        values = left.astype(np.float32), right.astype(np.float32)
        scales = best_gains(pair.delta, *values, scales, kept, masks)
    parts: Parts = {"U_vals": left, "V_vals": right, "S": scales}
    return parts | kept_parts(kept, masks, store_mask=options.store_mask)


def decode(parts: Parts, spec: TensorSpec, options: ImpartOptions) -> Tensor:
    """Put the entries back in their vectors and multiply.

    Raises:
        MismatchError: the seed gives other masks than it did when the file was made.
        FileError: the parts are damaged.
    """
    stack = as_stack(spec.shape)
    kept, masks = read_kept(parts, stack, spec, _STREAM, store_mask=options.store_mask)
    left, right = (
        take(parts, name, np.float16, (int(counts.sum()),), spec).astype(np.float32)
        for name, counts in (("U_vals", kept.left), ("V_vals", kept.right))
    )
    scales = take(parts, "S", np.float32, (int(kept.ranks.sum()),), spec)
    return joined(products(left, right, scales, kept, masks), spec.shape)


def most_triples(stack: Stack, ratio: float, cut: float) -> int:
    """Count the triples that the cut leaves of a matrix, at least 1 of any."""
    most = min(stack.rows, stack.cols)
    if most == 0:
        return 0
    sparsity = sparsity_for(stack.rows, stack.cols, most, ratio)
    return max(1, int(most * (1.0 - cut_for(stack.rows, stack.cols, most, cut, sparsity))))


def triples(shape: tuple[int, ...], options: ImpartOptions) -> int:
    """Triples that encoding takes of each matrix: what the cut leaves, and one for rounding."""
    stack = as_stack(shape)
    return min(most_triples(stack, options.ratio, options.cut) + 1, stack.rows, stack.cols)


def stored_bits(shape: tuple[int, ...], options: ImpartOptions) -> float:
    """Bits of the budget, of scales and counts for all triples it may hold, and of the mask.

    At least one whole triple of every matrix is kept, whatever the budget.
    """
    stack = as_stack(shape)
    triples = most_triples(stack, options.ratio, options.cut)
    least = stack.rows + stack.cols if triples else 0
    values = max(least, stack.rows * stack.cols / options.ratio)
    mask = 0.0
    if options.store_mask and triples:
        entries = triples * (stack.rows + stack.cols)
        mask = entries * entropy(min(1.0, values / entries))
    check = 0 if options.store_mask else 8 * CHECK_BYTES
    return stack.count * (16.0 * values + 96 * triples + 32 + mask) + check


def payload_bits(parts: Parts, spec: TensorSpec, options: ImpartOptions) -> float:  # noqa: ARG001
    """Bits of the entries' values."""
    return 8.0 * (parts["U_vals"].nbytes + parts["V_vals"].nbytes)


METHOD = CompressionMethod(
    id="impart",
    title="ImPart",
    family="compression",
    summary="Thins singular vectors at random, the weaker ones more; the masks cost nothing.",
    source="arXiv:2504.13237",
    decomposes=True,
    options=ImpartOptions,
    evidence="The authors' code was read; of the paper only the abstract.",
    is_random=True,
    encode=encode,
    decode=decode,
    stored_bits=stored_bits,
    payload_bits=payload_bits,
    triples=triples,
    working_bytes=52,
    size_option=SizeOption("ratio", 1.0, 4096.0),
)
