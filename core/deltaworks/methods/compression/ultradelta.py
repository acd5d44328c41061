"""UltraDelta: few bits a weight, most dropped at random, of every value the same share.

Source: Wang et al., "UltraDelta", arXiv:2505.13563, and its code for vision models. A
matrix is rounded to an even grid over its range; of each distinct code the same share of
weights is dropped, so that the histogram keeps its shape; what is left is scaled up.
Departures: places are stored, since they depend on the values; all tensors are dropped
alike, where the authors drop slightly more of those that vary little; the factor between
tasks of a family is not taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deltaworks.methods.compression.parts import damaged, finite_delta, take
from deltaworks.methods.compression_record import CompressionMethod, SizeOption
from deltaworks.numerics.byte_coding import DamagedError
from deltaworks.numerics.mask_coding import decode_mask, encode_mask, entropy
from deltaworks.numerics.matrices import as_stack
from deltaworks.numerics.packing import pack, packed_width, unpack
from deltaworks.numerics.seeds import raw_words
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec

_STREAM = "ultradelta"

Codes = npt.NDArray[np.int64]


class UltraDeltaOptions(Options):
    """Options of UltraDelta."""

    drop_rate: float = option(
        0.97,
        ge=0.0,
        lt=1.0,
        unit="fraction",
        title="Drop rate",
        help="Share of weights set to zero; the rest is scaled up to match. More makes smaller "
        "files and noisier models.",
        step=0.01,
        sweepable=True,
        sweep=(0.9, 0.95, 0.97, 0.99),
    )
    bits: int = option(
        4,
        ge=2,
        le=8,
        unit="bits",
        title="Bits per kept weight",
        help="Of the grid over the range of a matrix. More is finer and costs little: few weights "
        "are kept.",
        sweepable=True,
    )


def encode(pair: TensorPair, options: UltraDeltaOptions) -> Parts:
    """Store codes of what is kept, where it is, and the range of every matrix."""
    stack = as_stack(pair.spec.shape)
    delta = finite_delta(pair).reshape(stack.count, stack.rows * stack.cols).numpy()
    size = delta.shape[1]
    masks = np.zeros((stack.count, size), dtype=np.bool_)
    codes = np.zeros((stack.count, size), dtype=np.uint8)
    ranges = np.zeros((stack.count, 2), dtype=np.float32)
    for number in range(stack.count if size else 0):
        ranges[number] = delta[number].min(), delta[number].max()
        codes[number] = _round(delta[number], ranges[number], options)
        words = raw_words(pair.spec.seed, pair.spec.name, size, f"{_STREAM}-{number}")
        masks[number] = kept_of_each(codes[number], words, 1.0 - options.drop_rate)
    mask = masks.reshape(-1)
    kept = codes.reshape(-1)[mask]
    return {"q": pack(kept[None, :], options.bits)[0], "range": ranges} | encode_mask(mask)


def _round(
    values: npt.NDArray[np.float32], ends: npt.NDArray[np.float32], options: UltraDeltaOptions
) -> npt.NDArray[np.uint8]:
    low, high = (float(end) for end in ends)
    if high == low:
        return np.zeros(len(values), dtype=np.uint8)
    top = (1 << options.bits) - 1
    codes = np.rint((values.astype(np.float64) - low) * (top / (high - low)))
    return np.clip(codes, 0, top).astype(np.uint8)


def kept_of_each(
    codes: npt.NDArray[np.uint8], words: npt.NDArray[np.uint64], share: float
) -> npt.NDArray[np.bool_]:
    """Keep the same share of the weights of every code: those with the smallest words.

    Args:
        codes: of all weights.
        words: random, one a weight.
        share: to be kept; counts are rounded for each code.
    """
    order = np.lexsort((words, codes))
    counts = np.bincount(codes, minlength=1)
    ends = np.cumsum(counts)
    places = np.arange(len(codes)) - np.repeat(ends - counts, counts)
    wanted = np.repeat(np.rint(counts * share), counts)
    mask = np.zeros(len(codes), dtype=np.bool_)
    mask[order[places < wanted]] = True
    return mask


def decode(parts: Parts, spec: TensorSpec, options: UltraDeltaOptions) -> Tensor:
    """Put the scaled values back in their places.

    Raises:
        FileError: the parts are damaged.
    """
    import torch

    stack = as_stack(spec.shape)
    size = stack.rows * stack.cols
    ranges = take(parts, "range", np.float32, (stack.count, 2), spec)
    try:
        mask = decode_mask(parts, stack.n_elements).reshape(stack.count, size)
    except DamagedError as error:
        raise damaged(spec, f"the mask {error}") from error
    counts = mask.sum(axis=1)
    width = packed_width(int(counts.sum()), options.bits)
    packed = take(parts, "q", np.uint8, (width,), spec)
    codes = unpack(packed[None, :], options.bits, int(counts.sum()))[0].astype(np.float64)
    low = np.repeat(ranges[:, 0].astype(np.float64), counts)
    high = np.repeat(ranges[:, 1].astype(np.float64), counts)
    values = low + codes * ((high - low) / ((1 << options.bits) - 1))
    out = np.zeros((stack.count, size), dtype=np.float32)
    out[mask] = values / (1.0 - options.drop_rate)
    return torch.from_numpy(out).reshape(spec.shape)


def stored_bits(shape: tuple[int, ...], options: UltraDeltaOptions) -> float:
    """Bits of the codes, the ranges and the entropy of a random mask of this density."""
    stack = as_stack(shape)
    share = 1.0 - options.drop_rate
    # Counts are rounded for each of the codes.
    spare = stack.count * 2.0**options.bits
    codes = options.bits * min(float(stack.n_elements), stack.n_elements * share + spare)
    return codes + 64 * stack.count + stack.n_elements * entropy(share)


def payload_bits(parts: Parts, spec: TensorSpec, options: UltraDeltaOptions) -> float:  # noqa: ARG001
    """Bits of the codes."""
    return 8.0 * parts["q"].nbytes


METHOD = CompressionMethod(
    id="ultradelta",
    title="UltraDelta",
    family="compression",
    summary="Drops most changes at random, of every value the same share, and rounds the rest.",
    source="arXiv:2505.13563",
    options=UltraDeltaOptions,
    evidence="The authors' code for vision models was read. All tensors are dropped alike, where "
    "theirs differ slightly by how much they vary.",
    is_random=True,
    encode=encode,
    decode=decode,
    stored_bits=stored_bits,
    payload_bits=payload_bits,
    working_bytes=48,
    size_option=SizeOption("drop_rate", 0.0, 0.9999, of_rest=True),
)
