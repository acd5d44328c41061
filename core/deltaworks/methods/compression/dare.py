"""DARE: drop most of a delta at random and rescale the rest.

Source: Yu et al., "Language Models are Super Mario", arXiv:2311.03099.
The mask comes again from the seed and is not stored. Departures: a fixed count of
survivors by default (the paper draws every weight by itself), divided by the share
that was truly kept, so that the expectation is the delta exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from deltaworks.errors import MismatchError
from deltaworks.methods.compression.parts import damaged, finite_delta, one_float, take
from deltaworks.methods.compression_record import CompressionMethod, SizeOption
from deltaworks.numerics.byte_coding import DamagedError
from deltaworks.numerics.gathering import gather, scatter
from deltaworks.numerics.halves import from_halves, to_halves, unit_for
from deltaworks.numerics.mask_coding import Mask, decode_mask, encode_mask, entropy
from deltaworks.numerics.masks import CHECK_BYTES, bernoulli_mask, exact_mask, mask_check
from deltaworks.numerics.matrices import as_stack
from deltaworks.numerics.recent import remembers_last
from deltaworks.numerics.selection import kept_count
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec

_STREAM = "dare"


class DareOptions(Options):
    """Options of DARE."""

    drop_rate: float = option(
        0.9,
        ge=0.0,
        lt=1.0,
        unit="fraction",
        title="Drop rate",
        help="Share of delta weights set to zero; the rest is scaled up to match. More "
        "makes smaller files and noisier models.",
        step=0.01,
        sweepable=True,
        sweep=(0.5, 0.8, 0.9, 0.95),
    )
    mask: Literal["exact", "bernoulli"] = option(
        "exact",
        title="Random choice",
        help="A fixed count of survivors, or a coin for every weight as in the paper.",
        advanced=True,
        labels={"exact": "Fixed count", "bernoulli": "Coin for every weight (as in the paper)"},
    )
    rescale: bool = option(
        True,
        title="Rescale",
        help="Divide the survivors by the share kept, so that the delta is right on "
        "average. Off, squared error is smaller but every change shrinks.",
        advanced=True,
    )
    store_mask: bool = option(
        False,
        title="Store the mask",
        help="Write the mask into the file instead of making it again from the seed. "
        "Costs up to a bit a weight.",
        advanced=True,
    )


def _count(n_elements: int, options: DareOptions) -> int:
    return kept_count(n_elements, 1.0 - options.drop_rate)


@remembers_last
def _mask(spec: TensorSpec, n_elements: int, options: DareOptions) -> Mask:
    if options.mask == "bernoulli":
        return bernoulli_mask(spec.seed, spec.name, n_elements, options.drop_rate, _STREAM)
    keep = _count(n_elements, options)
    return exact_mask(spec.seed, spec.name, n_elements, keep, _STREAM)


def encode(pair: TensorPair, options: DareOptions) -> Parts:
    """Store the survivors, unscaled, in flat order."""
    flat = finite_delta(pair).reshape(-1).numpy()
    mask = _mask(pair.spec, len(flat), options)
    kept = gather(flat, mask)
    unit = unit_for(float(np.abs(kept).max(initial=0.0)))
    parts: Parts = {"vals": to_halves(kept, unit), "unit": one_float(unit)}
    if options.store_mask:
        return parts | encode_mask(mask)
    return parts | {"check": mask_check(mask)}


def decode(parts: Parts, spec: TensorSpec, options: DareOptions) -> Tensor:
    """Put the survivors back in their places and rescale them.

    Raises:
        MismatchError: the seed gives another mask than it did when the file was made.
    """
    import torch

    n_elements = as_stack(spec.shape).n_elements
    mask = _known_mask(parts, spec, n_elements, options)
    kept = int(np.count_nonzero(mask))
    values = take(parts, "vals", np.float16, (kept,), spec)
    unit = float(take(parts, "unit", np.float32, (1,), spec)[0])
    numbers = from_halves(values, unit)
    if options.rescale and kept:
        share = kept / n_elements if options.mask == "exact" else 1.0 - options.drop_rate
        numbers /= np.float32(share)
    out = torch.zeros(spec.shape)
    scatter(numbers, mask, out.view(-1).numpy())
    return out


def _known_mask(parts: Parts, spec: TensorSpec, n_elements: int, options: DareOptions) -> Mask:
    if options.store_mask:
        try:
            return decode_mask(parts, n_elements)
        except DamagedError as error:
            raise damaged(spec, f"the mask {error}") from error
    mask = _mask(spec, n_elements, options)
    check = take(parts, "check", np.uint8, (CHECK_BYTES,), spec)
    if not np.array_equal(check, mask_check(mask)):
        raise MismatchError(
            f"seed {spec.seed} gives another mask than the one the file was made with",
            where=spec.name,
            fix="Use the program version that wrote the file, or make it again with 'store_mask'",
        )
    return mask


def stored_bits(shape: tuple[int, ...], options: DareOptions) -> float:
    """Bits of the expected survivors, the unit, and the mask or its checksum."""
    n_elements = as_stack(shape).n_elements
    count = _count(n_elements, options)
    if options.mask == "bernoulli":
        count_expected = n_elements * (1.0 - options.drop_rate)
    else:
        count_expected = float(count)
    mask = n_elements * entropy(count_expected / max(1, n_elements))
    return 16.0 * count_expected + 32 + (mask if options.store_mask else 8 * CHECK_BYTES)


def payload_bits(parts: Parts, spec: TensorSpec, options: DareOptions) -> float:  # noqa: ARG001
    """Bits of the survivors' values."""
    return 8.0 * parts["vals"].nbytes


METHOD = CompressionMethod(
    id="dare",
    title="DARE",
    family="compression",
    summary="Drops most changes at random and scales up the rest; the mask costs nothing.",
    source="arXiv:2311.03099",
    options=DareOptions,
    evidence="The authors' code was read.",
    is_random=True,
    encode=encode,
    decode=decode,
    stored_bits=stored_bits,
    payload_bits=payload_bits,
    size_option=SizeOption("drop_rate", 0.0, 0.9999, of_rest=True),
)
