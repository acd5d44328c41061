"""TIES: trim each delta, elect a sign for every weight, average those that agree.

Source: Yadav et al., "TIES-Merging", arXiv:2306.01708; arcee-ai/mergekit 0.1.5, method
``ties``. Equal magnitudes at the threshold are kept from the lowest flat index on, where
mergekit keeps whichever its unstable sort puts first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deltaworks.methods.merging.kernel import checked, flat_base, flat_experts
from deltaworks.methods.method import MergingMethod
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.selection import MAGNITUDE, Cut, Floats, Keys, magnitude_cut, zero_dropped
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.method import MergeInputs

_SIGN = np.int32(-(1 << 31))
_NO_LENGTH = 1e-7
_BUFFERS_BYTES = 2_000_000


class TiesOptions(Options):
    """Options of TIES."""

    normalize: bool = option(
        True,
        title="Normalize",
        help="Average the agreeing deltas by weight, instead of summing them.",
    )
    rescale: bool = option(
        False,
        title="Rescale",
        help="Scale each trimmed delta up to the sum of magnitudes it had before.",
        advanced=True,
    )
    scale: float = option(
        1.0,
        ge=-10.0,
        le=10.0,
        title="Scale (lambda)",
        help="Multiplies the merged delta before it is added to the base.",
        step=0.05,
        sweepable=True,
        sweep=(0.5, 0.7, 1.0),
    )


class TiesExpertOptions(Options):
    """Options of each expert."""

    weight: float = option(
        1.0,
        ge=-100.0,
        le=100.0,
        title="Weight",
        help="Multiplies the delta of this model; counts in the election of signs too.",
        step=0.05,
        sweepable=True,
    )
    density: float = option(
        0.2,
        gt=0.0,
        le=1.0,
        unit="fraction",
        title="Density",
        help="Share of this model's delta that is kept, the largest of each tensor. "
        "0.2 is the paper's, 1 keeps everything.",
        step=0.05,
        sweepable=True,
        sweep=(0.2, 0.5, 0.8),
    )


@dataclass(frozen=True, slots=True)
class _Expert:
    """One expert and what is kept of its delta.

    Args:
        tensor: flat, as stored.
        weight: as chosen.
        cut: of the delta's magnitudes.
        factor: weight times the rescaling, when that is wanted.
    """

    tensor: Tensor
    weight: float
    cut: Cut
    factor: float


def merge(inputs: MergeInputs, options: TiesOptions) -> Tensor:
    """Trim, elect, average, and add to the base."""
    import torch

    base, tensors = flat_base(inputs), flat_experts(inputs)
    out = torch.empty(base.numel())
    experts = [
        _trimmed(base, tensor, expert.options, options.rescale, out)
        for tensor, expert in zip(tensors, inputs.experts, strict=True)
    ]
    buffers = _Buffers.of(len(experts))
    for span in spans(len(out), buffers.size):
        _merge_piece(base, experts, options, span, buffers, out.numpy()[span])
    return checked(out, inputs)


def _trimmed(
    base: Tensor, expert: Tensor, own: TiesExpertOptions, rescale: bool, scratch: Tensor
) -> _Expert:
    """Find what to keep of one delta; ``scratch`` holds it meanwhile."""
    count, weight = scratch.numel(), float(own.weight)
    if own.density >= 1.0 or count == 0:
        return _Expert(expert, weight, Cut(-1, -1), weight)
    for span in spans(count):
        piece = scratch[span]
        piece.copy_(expert[span])
        piece.sub_(base[span].float())
    values = scratch.numpy()
    cut = magnitude_cut(values, max(1, int(own.density * count)))
    factor = weight * _l1_factor(values, cut) if rescale else weight
    return _Expert(expert, weight, cut, factor)


def _l1_factor(values: Floats, cut: Cut) -> float:
    """Sum of magnitudes before over after the trim; 1 when either is nothing."""
    before = after = 0.0
    keys = np.empty(1 << 17, dtype=np.int32)
    for span in spans(len(values)):
        piece = values[span].copy()
        before += float(np.abs(piece).sum(dtype=np.float64))
        zero_dropped(piece, cut, keys, span.start)
        after += float(np.abs(piece).sum(dtype=np.float64))
    return before / after if min(before, after) >= _NO_LENGTH else 1.0


@dataclass(frozen=True, slots=True)
class _Buffers:
    """Room for one piece, small enough to stay in the cache.

    Args:
        start: base in float32.
        deltas: one row an expert.
        total: sums, then their sign bits.
        divisor: weights of the agreeing experts.
        scratch: integers.
    """

    start: Floats
    deltas: Floats
    total: Floats
    divisor: Floats
    scratch: Keys

    @classmethod
    def of(cls, n_experts: int) -> _Buffers:
        """Make buffers for a number of experts."""
        size = max(1 << 12, min(1 << 16, _BUFFERS_BYTES // (4 * (n_experts + 5))))
        rows = [np.empty(size, dtype=np.float32) for _ in range(3)]
        deltas = np.empty((n_experts, size), dtype=np.float32)
        return cls(rows[0], deltas, rows[1], rows[2], np.empty(size, dtype=np.int32))

    @property
    def size(self) -> int:
        """Elements a piece."""
        return len(self.start)


def _merge_piece(
    base: Tensor,
    experts: list[_Expert],
    options: TiesOptions,
    span: slice,
    buffers: _Buffers,
    out: Floats,
) -> None:
    """Merge one piece into ``out``."""
    import torch

    count = span.stop - span.start
    start, total = buffers.start[:count], buffers.total[:count]
    deltas, keys = buffers.deltas[:, :count], buffers.scratch[:count]
    torch.from_numpy(start).copy_(base[span])
    total.fill(0.0)
    for delta, expert in zip(deltas, experts, strict=True):
        torch.from_numpy(delta).copy_(expert.tensor[span])
        np.subtract(delta, start, out=delta)
        zero_dropped(delta, expert.cut, keys, span.start)
        np.multiply(delta, np.float32(expert.factor), out=delta)
        np.add(total, delta, out=total)
    weights = [expert.weight for expert in experts]
    _agree(deltas, weights, total, buffers.divisor[:count], keys, out)
    if options.normalize:
        np.divide(out, buffers.divisor[:count], out=out)
    if options.scale != 1.0:
        np.multiply(out, np.float32(options.scale), out=out)
    np.add(out, start, out=out)


def _agree(
    deltas: Floats, weights: list[float], total: Floats, divisor: Floats, keys: Keys, out: Floats
) -> None:
    """Sum the deltas with the elected sign into ``out`` and their weights into ``divisor``.

    A sum of exactly zero elects plus, an exact zero never agrees.
    """
    # A sum that begins at +0 is never -0, so its sign bit is clear when it is zero.
    elected = total.view(np.int32)
    np.bitwise_and(elected, _SIGN, out=elected)
    out.fill(0.0)
    divisor.fill(0.0)
    for delta, weight in zip(deltas, weights, strict=True):
        bits = delta.view(np.int32)
        np.bitwise_xor(bits, elected, out=bits)
        np.maximum(delta, np.float32(0.0), out=delta)
        np.bitwise_and(bits, MAGNITUDE, out=bits)  # The larger of -0 and 0 may be -0.
        np.add(out, delta, out=out)
        # Bits of a positive number are positive: negate and smear to a mask of ones.
        np.negative(bits, out=keys)
        np.right_shift(keys, 31, out=keys)
        np.bitwise_and(keys, np.float32(weight).view(np.int32), out=keys)
        np.add(divisor, keys.view(np.float32), out=divisor)
    np.bitwise_xor(out.view(np.int32), elected, out=out.view(np.int32))
    np.copyto(divisor, np.float32(1.0), where=divisor == 0.0)


METHOD = MergingMethod(
    id="ties",
    title="TIES",
    family="merging",
    summary="Trims small changes, settles conflicts by majority sign, averages what agrees.",
    source="arXiv:2306.01708, mergekit 0.1.5",
    options=TiesOptions,
    expert_options=TiesExpertOptions,
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    merge=merge,
)
