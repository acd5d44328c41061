"""ImPart-Qt: thinned singular vectors in mixed precision.

Source: Yang et al., arXiv:2504.13237, and the authors' code. Vectors are thinned as by
ImPart and coded in the classes of Delta-CoMe. Departures: the search for the sparsity
charges every class its true bits (the code charges 4 for the class of 3); what is masked
takes no code; inputs are those of the unchanged model. With a text, codes are chosen by
masked GPTQ; without, they are rounded to nearest, which is what GPTQ does when inputs are
uncorrelated and equally strong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deltaworks.methods.compression.calibrated import CALIBRATED, DAMPING
from deltaworks.methods.compression.factor_codes import code_factors, inputs_for
from deltaworks.methods.compression.impart import ImpartOptions
from deltaworks.methods.compression.parts import take
from deltaworks.methods.compression.rank_codes import (
    bits_of_places,
    code_bits,
    code_vectors,
    decode_vectors,
    rank_for_bits,
)
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
from deltaworks.methods.method import Needs
from deltaworks.numerics.importance import Floats, cut_for, sparsities, sparsity_at_cost
from deltaworks.numerics.mask_coding import entropy
from deltaworks.numerics.masks import CHECK_BYTES
from deltaworks.numerics.matrices import Stack, as_stack
from deltaworks.options import option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec

_STREAM = "impart"
_FULL_BITS = 16


class ImpartQtOptions(ImpartOptions):
    """Options of ImPart-Qt."""

    ratio: float = option(
        32.0,
        ge=1.0,
        le=4096.0,
        unit="times",
        title="Compression ratio",
        help="16 bits a weight, divided by the bits of the codes, as the paper counts; scales "
        "add about a tenth. More makes smaller files and noisier models.",
        step=1,
        log=True,
        sweepable=True,
        sweep=(32.0, 64.0, 128.0),
    )
    group_size: int = option(
        128,
        ge=8,
        le=65536,
        unit="entries",
        title="Group size",
        help="Kept entries of a vector that share a scale. Smaller groups follow the vector "
        "better and cost more: 24 bits a group.",
        step=8,
        log=True,
        advanced=True,
        sweepable=True,
    )
    damping: float = DAMPING
    calibrated: bool = CALIBRATED


def schedule_for(stack: Stack, options: ImpartQtOptions) -> Schedule:
    """Give the schedule whose codes fit matrices of a stack into the budget."""

    def schedule(sigma: Floats) -> Floats:
        rank = len(sigma)
        costs = bits_of_places(rank) / _FULL_BITS
        budget = stack.rows * stack.cols / (options.ratio * max(1, stack.rows + stack.cols))
        cut = cut_for(stack.rows, stack.cols, rank, options.cut, 1.0)
        sparsity = sparsity_at_cost(sigma, costs, budget, cut, options.exponent)
        return sparsities(sigma, sparsity, cut, options.exponent)

    return schedule


def encode(pair: TensorPair, options: ImpartQtOptions) -> Parts:
    """Store codes of the kept entries, and one scale a triple."""
    stack = as_stack(pair.spec.shape)
    svds = triples_of(pair, triples(pair.spec.shape, options))
    kept = thinned(svds, stack, schedule_for(stack, options))
    masks = draw_masks(kept, pair.spec, _STREAM)
    left, right = survivors(svds, kept, masks)
    scales = scales_of(svds, kept, rescale=options.rescale != "none")
    inputs = inputs_for(pair, stack, calibrated=options.calibrated, damping=options.damping)
    if inputs is not None:
        parts = code_factors(left, right, scales, kept, masks, inputs, options.group_size)
    else:
        parts = code_vectors("U", left, kept.left, kept, options.group_size)
        parts |= code_vectors("V", right, kept.right, kept, options.group_size)
    if options.rescale == "lsq":
        left = decode_vectors("U", parts, kept.left, kept, options.group_size, pair.spec)
        right = decode_vectors("V", parts, kept.right, kept, options.group_size, pair.spec)
        scales = best_gains(pair.delta, left, right, scales, kept, masks)
    return parts | {"S": scales} | kept_parts(kept, masks, store_mask=options.store_mask)


def decode(parts: Parts, spec: TensorSpec, options: ImpartQtOptions) -> Tensor:
    """Put the entries back in their vectors and multiply.

    Raises:
        MismatchError: the seed gives other masks than it did when the file was made.
        FileError: the parts are damaged.
    """
    stack = as_stack(spec.shape)
    kept, masks = read_kept(parts, stack, spec, _STREAM, store_mask=options.store_mask)
    scales = take(parts, "S", np.float32, (int(kept.ranks.sum()),), spec)
    left = decode_vectors("U", parts, kept.left, kept, options.group_size, spec)
    right = decode_vectors("V", parts, kept.right, kept, options.group_size, spec)
    return joined(products(left, right, scales, kept, masks), spec.shape)


def triples(shape: tuple[int, ...], options: ImpartQtOptions) -> int:
    """Triples that encoding takes of each matrix.

    What the cut leaves; or, where the budget holds more, so many whole vectors; and one
    for rounding.
    """
    stack = as_stack(shape)
    most = min(stack.rows, stack.cols)
    if most == 0:
        return 0
    left = int(most * (1.0 - cut_for(stack.rows, stack.cols, most, options.cut, 1.0)))
    budget = _FULL_BITS * stack.rows * stack.cols / (options.ratio * (stack.rows + stack.cols))
    return min(max(left, rank_for_bits(budget, most)) + 1, most)


def stored_bits(shape: tuple[int, ...], options: ImpartQtOptions) -> float:
    """Bits of the budget, of its grids, and of scales and counts for all it may hold.

    The first vectors of every matrix are kept whole, whatever the budget.
    """
    stack = as_stack(shape)
    most = min(stack.rows, stack.cols)
    if most == 0:
        return 32.0 * stack.count + (0 if options.store_mask else 8 * CHECK_BYTES)
    edges = stack.rows + stack.cols
    codes = max(8.0 * edges, 16.0 * stack.rows * stack.cols / options.ratio)
    # All later vectors together hold at most what their codes of 2 bits allow.
    triples = max(1, int(most * (1.0 - cut_for(stack.rows, stack.cols, most, options.cut, 1.0))))
    triples = min(triples, max(1, int(codes / (2 * edges)) * 2))
    entries = codes / 2.5
    grids = 24.0 * (entries / options.group_size + triples)
    mask = triples * edges * entropy(min(1.0, entries / (triples * edges)))
    each = codes + grids + 96 * triples + 32 + (mask if options.store_mask else 0.0)
    return stack.count * each + (0 if options.store_mask else 8 * CHECK_BYTES)


def payload_bits(parts: Parts, spec: TensorSpec, options: ImpartQtOptions) -> float:  # noqa: ARG001
    """Bits of the codes."""
    return code_bits(parts)


METHOD = CompressionMethod(
    id="impart-qt",
    title="ImPart-Qt",
    family="compression",
    summary="Thins singular vectors like ImPart and keeps what is left in few bits.",
    source="arXiv:2504.13237",
    decomposes=True,
    options=ImpartQtOptions,
    needs=Needs(helped_by=("gram",)),
    evidence="The authors' code was read; of the paper only the abstract. With a text codes are "
    "chosen by masked GPTQ; without one they are rounded to nearest.",
    is_random=True,
    encode=encode,
    decode=decode,
    stored_bits=stored_bits,
    payload_bits=payload_bits,
    triples=triples,
    working_bytes=52,
    size_option=SizeOption("ratio", 1.0, 4096.0),
)
