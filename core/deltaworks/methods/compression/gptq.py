"""GPTQ on a delta: few bits a weight, errors made good by the weights still to come.

Source: Frantar et al., "GPTQ", arXiv:2210.17323, used on the delta as in Delta-CoMe and
DeltaZip. Base and delta see the same inputs, so the delta's error in the outputs is that of
the layer. Departures: scales are float16 in a unit a tensor, zeros are codes; ranges may be
clipped; with activation order, groups keep their place and their grids are fitted before
rounding, so that no order need be stored. Without inputs, weights are rounded to nearest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from deltaworks.methods.compression.calibrated import CALIBRATED, DAMPING, Ordered, factors_for
from deltaworks.methods.compression.parts import finite_delta, one_float, take
from deltaworks.methods.compression_record import CompressionMethod
from deltaworks.methods.method import Needs
from deltaworks.numerics.gptq import round_apart, round_columns
from deltaworks.numerics.halves import unit_for
from deltaworks.numerics.matrices import as_stack
from deltaworks.numerics.packing import pack, packed_width, unpack
from deltaworks.numerics.row_grids import GridRounder, Ruling, decoded
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec


class GptqOptions(Options):
    """Options of GPTQ on deltas."""

    bits: int = option(
        2,
        ge=2,
        le=8,
        unit="bits",
        title="Bits per weight",
        help="Bits of a code. Scales come on top: 24 bits a group, 16 with symmetric grids.",
        sweepable=True,
        sweep=(2, 3, 4),
    )
    group_size: int = option(
        128,
        ge=8,
        le=65536,
        unit="weights",
        title="Group size",
        help="Weights of a row that share a scale. Smaller groups follow the delta better and "
        "cost more.",
        step=8,
        log=True,
        advanced=True,
        sweepable=True,
    )
    symmetric: bool = option(
        False,
        title="Symmetric grids",
        help="Keeps zero in the middle of each grid instead of storing where it lies: saves 8 "
        "bits a group, and wastes a code where values lean to one side.",
        advanced=True,
        sweepable=True,
    )
    clip: Literal["auto", "always", "never"] = option(
        "auto",
        title="Clip ranges",
        help="A smaller range than a group's has finer steps. Automatic clips without a text, "
        "where that lowers the squared error; with one, errors at the ends are made good.",
        advanced=True,
        sweepable=True,
        labels={"auto": "Automatic", "always": "Always", "never": "Never"},
    )
    order: Literal["given", "activation"] = option(
        "given",
        title="Order of the inputs",
        help="Weights on strong inputs may be rounded first, while there are many left to make "
        "their errors good.",
        advanced=True,
        sweepable=True,
        labels={"given": "As stored", "activation": "Strongest first"},
    )
    damping: float = DAMPING
    calibrated: bool = CALIBRATED

    def ruling(self, *, has_inputs: bool) -> Ruling:
        """What grids to make."""
        clip = self.clip == "always" or (self.clip == "auto" and not has_inputs)
        return Ruling(self.bits, self.symmetric, clip)


def encode(pair: TensorPair, options: GptqOptions) -> Parts:
    """Store codes, scales and zeros of every row."""
    stack = as_stack(pair.spec.shape)
    delta = finite_delta(pair)
    unit = unit_for(float(delta.abs().max()) if delta.numel() else 0.0)
    factors = factors_for(
        pair,
        stack,
        calibrated=options.calibrated,
        damping=options.damping,
        ordered=options.order == "activation",
    )
    rounders = [
        _rounded(
            matrix / unit, options, None if factors is None else factors[number % len(factors)]
        )
        for number, matrix in enumerate(delta.reshape(stack.shape))
    ]
    n_groups = -(-stack.cols // options.group_size)
    codes = np.zeros((0, stack.cols), dtype=np.uint8)
    grids = np.zeros((0, n_groups), dtype=np.float32)
    parts: Parts = {
        "q": pack(np.concatenate([codes, *(one.codes.numpy() for one in rounders)]), options.bits),
        "s": np.concatenate([grids, *(one.scale.numpy() for one in rounders)]).astype(np.float16),
        "unit": one_float(unit),
    }
    if not options.symmetric:
        zeros = np.concatenate([grids, *(one.zero.numpy() for one in rounders)])
        parts["z"] = zeros.astype(np.uint8)
    return parts


def _rounded(weights: Tensor, options: GptqOptions, factor: Ordered | None) -> GridRounder:
    """Round one matrix, in the unit of its grids."""
    rows, columns = weights.shape
    order = None if factor is None else factor.order
    ruling = options.ruling(has_inputs=factor is not None)
    rounder = GridRounder(rows, columns, options.group_size, ruling, order)
    if factor is None:
        round_apart(weights, rounder, group=options.group_size)
        return rounder
    weights = weights.masked_fill(factor.dead, 0.0)
    if order is not None:
        rounder.fit_all(weights, factor.diagonal)
        weights = weights[:, order]
    round_columns(weights, factor.factor.upper, rounder, group=options.group_size)
    return rounder


def decode(parts: Parts, spec: TensorSpec, options: GptqOptions) -> Tensor:
    """Give the values of the codes."""
    import torch

    stack = as_stack(spec.shape)
    rows = stack.count * stack.rows
    n_groups = -(-stack.cols // options.group_size)
    packed = take(parts, "q", np.uint8, (rows, packed_width(stack.cols, options.bits)), spec)
    scale = torch.from_numpy(take(parts, "s", np.float16, (rows, n_groups), spec).copy())
    unit = float(take(parts, "unit", np.float32, (1,), spec)[0])
    if options.symmetric:
        zero = torch.full_like(scale, float(1 << (options.bits - 1)))
    else:
        zero = torch.from_numpy(take(parts, "z", np.uint8, (rows, n_groups), spec).copy())
    codes = unpack(packed, options.bits, stack.cols).astype(np.uint8)
    values = decoded(torch.from_numpy(codes), scale, zero, options.group_size)
    return values.mul_(unit).reshape(spec.shape)


def stored_bits(shape: tuple[int, ...], options: GptqOptions) -> float:
    """Bits of codes, padded rows included, and of grids."""
    stack = as_stack(shape)
    rows = stack.count * stack.rows
    n_groups = -(-stack.cols // options.group_size)
    grid = 16 if options.symmetric else 24
    return 8.0 * rows * packed_width(stack.cols, options.bits) + grid * rows * n_groups + 32


def payload_bits(parts: Parts, spec: TensorSpec, options: GptqOptions) -> float:  # noqa: ARG001
    """Bits of the codes."""
    return float(options.bits * as_stack(spec.shape).n_elements)


METHOD = CompressionMethod(
    id="gptq",
    title="GPTQ on the delta",
    family="compression",
    summary="Rounds every change to a few bits and makes errors good with a text's inputs.",
    source="arXiv:2210.17323, on deltas",
    options=GptqOptions,
    needs=Needs(helped_by=("gram",)),
    evidence="A definition: held against a slow version that solves for the later columns after "
    "every rounding. Without a text it rounds to nearest.",
    encode=encode,
    decode=decode,
    stored_bits=stored_bits,
    payload_bits=payload_bits,
    working_bytes=40,
)
