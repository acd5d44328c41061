"""Magnitude pruning: keep the largest changes, drop the rest.

Source: the baseline of Yu et al., arXiv:2311.03099. Departure: their code drops every
value up to the k-th smallest, so that ties drop too many; here the count is exact and
ties are kept from the lowest flat index on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deltaworks.methods.compression.parts import damaged, finite_delta, one_float, take
from deltaworks.methods.compression_record import CompressionMethod, SizeOption
from deltaworks.numerics.byte_coding import DamagedError
from deltaworks.numerics.gathering import gather, scatter
from deltaworks.numerics.halves import from_halves, to_halves, unit_for
from deltaworks.numerics.mask_coding import decode_mask, encode_mask, entropy
from deltaworks.numerics.matrices import as_stack
from deltaworks.numerics.selection import keep_mask, kept_count, magnitude_cut
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec


class MagnitudeOptions(Options):
    """Options of magnitude pruning."""

    density: float = option(
        0.1,
        gt=0.0,
        le=1.0,
        unit="fraction",
        title="Density",
        help="Share of delta weights kept: the largest of each tensor. Less makes "
        "smaller files and loses more.",
        step=0.01,
        log=True,
        sweepable=True,
        sweep=(0.02, 0.05, 0.1, 0.2, 0.5),
    )


def encode(pair: TensorPair, options: MagnitudeOptions) -> Parts:
    """Store the largest values in flat order, and where they are."""
    flat = finite_delta(pair).reshape(-1).numpy()
    mask = keep_mask(flat, magnitude_cut(flat, kept_count(len(flat), options.density)))
    kept = gather(flat, mask)
    unit = unit_for(float(np.abs(kept).max(initial=0.0)))
    parts: Parts = {"vals": to_halves(kept, unit), "unit": one_float(unit)}
    return parts | encode_mask(mask)


def decode(parts: Parts, spec: TensorSpec, options: MagnitudeOptions) -> Tensor:
    """Put the kept values back in their places."""
    import torch

    n_elements = as_stack(spec.shape).n_elements
    count = kept_count(n_elements, options.density)
    values = take(parts, "vals", np.float16, (count,), spec)
    unit = float(take(parts, "unit", np.float32, (1,), spec)[0])
    try:
        mask = decode_mask(parts, n_elements)
    except DamagedError as error:
        raise damaged(spec, f"the mask {error}") from error
    if int(np.count_nonzero(mask)) != count:
        raise damaged(spec, f"the mask keeps {np.count_nonzero(mask):,} values, not {count:,}")
    out = torch.zeros(spec.shape)
    scatter(from_halves(values, unit), mask, out.view(-1).numpy())
    return out


def stored_bits(shape: tuple[int, ...], options: MagnitudeOptions) -> float:
    """Bits of the values, the unit and the entropy of a random mask of this density."""
    n_elements = as_stack(shape).n_elements
    count = kept_count(n_elements, options.density)
    return 16.0 * count + 32 + n_elements * entropy(count / max(1, n_elements))


def payload_bits(parts: Parts, spec: TensorSpec, options: MagnitudeOptions) -> float:  # noqa: ARG001
    """Bits of the values."""
    return 8.0 * parts["vals"].nbytes


METHOD = CompressionMethod(
    id="magnitude",
    title="Magnitude pruning",
    family="compression",
    summary="Keeps the largest changes and their places; the plain reference for pruning.",
    source="arXiv:2311.03099 (baseline)",
    options=MagnitudeOptions,
    evidence="The authors' code was read; its handling of ties is corrected.",
    encode=encode,
    decode=decode,
    stored_bits=stored_bits,
    payload_bits=payload_bits,
    size_option=SizeOption("density", 1e-4, 1.0, grows=True),
)
