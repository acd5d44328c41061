"""Group dropout: drop at random the same number in every group of a row; few bits for the rest.

Source: after DeltaDQ, "Ultra-High Delta Compression for Fine-Tuned LLMs via Group-wise
Dropout and Separate Quantization", arXiv:2410.08666. Departures: the size of a group is
an option (the authors choose it by attention outputs on samples); a last group that is
shorter keeps its share; division by the share truly kept; no separate storage of value
ranges, which only rearranges the same codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import field_validator

from deltaworks.errors import MismatchError
from deltaworks.methods.compression.parts import damaged, finite_delta, one_float, take
from deltaworks.methods.compression_record import CompressionMethod, SizeOption
from deltaworks.numerics.byte_coding import DamagedError
from deltaworks.numerics.gathering import scatter
from deltaworks.numerics.group_masks import Mask, group_counts, group_masks
from deltaworks.numerics.halves import from_halves, to_halves, unit_for
from deltaworks.numerics.mask_coding import decode_mask, encode_mask, entropy
from deltaworks.numerics.masks import CHECK_BYTES, mask_check
from deltaworks.numerics.matrices import Stack, as_stack
from deltaworks.numerics.packing import pack, packed_width, unpack
from deltaworks.numerics.recent import remembers_last
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec

    Floats = np.ndarray[Any, np.dtype[np.float32]]
    Halves = np.ndarray[Any, np.dtype[np.float16]]


class GroupDropoutOptions(Options):
    """Options of group dropout."""

    drop_rate: float = option(
        0.9,
        ge=0.0,
        lt=1.0,
        unit="fraction",
        title="Drop rate",
        help="Share of delta weights set to zero; the rest is scaled up to match. At least "
        "one of every group stays.",
        step=0.01,
        sweepable=True,
        sweep=(0.5, 0.8, 0.9, 0.95),
    )
    group_size: int = option(
        128,
        ge=1,
        le=65536,
        unit="weights",
        title="Group size",
        help="Consecutive weights of a row of which the same number is kept. Smaller groups "
        "spread the survivors more evenly.",
        log=True,
        sweepable=True,
    )
    bits: Literal["16", "8", "4", "2"] = option(
        "4",
        unit="bits",
        title="Bits per survivor",
        help="Precision of the kept values: float16, or even steps between the smallest and "
        "the largest.",
        sweepable=True,
        labels={"16": "16 (float16)", "8": "8", "4": "4", "2": "2"},
    )
    scale: Literal["matrix", "row"] = option(
        "row",
        title="One range for each",
        help="How many survivors share a range when they have 8 bits or fewer. A row's own "
        "range follows the delta better and costs 32 bits a row.",
        advanced=True,
        sweepable=True,
        labels={"matrix": "Matrix", "row": "Row (output channel)"},
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

    @field_validator("bits", mode="before")
    @classmethod
    def _bits_as_text(cls, value: Any) -> Any:
        """Accept 4 for "4"."""
        return str(value) if isinstance(value, int) else value

    @property
    def width(self) -> int:
        """Bits per survivor as a number."""
        return int(self.bits)


@remembers_last
def _mask(spec: TensorSpec, stack: Stack, options: GroupDropoutOptions) -> Mask:
    rows = stack.count * stack.rows
    density = 1.0 - options.drop_rate
    return group_masks(spec.seed, spec.name, rows, stack.cols, options.group_size, density)


def kept_a_row(stack: Stack, options: GroupDropoutOptions) -> int:
    """Count the survivors of a row."""
    return int(group_counts(stack.cols, options.group_size, 1.0 - options.drop_rate)[1].sum())


def encode(pair: TensorPair, options: GroupDropoutOptions) -> Parts:
    """Store the survivors, unscaled, row after row."""
    stack = as_stack(pair.spec.shape)
    delta = finite_delta(pair).reshape(-1, stack.cols).numpy() if stack.n_elements else None
    mask = _mask(pair.spec, stack, options)
    n_rows, n_kept = len(mask), kept_a_row(stack, options)
    kept = np.zeros((n_rows, n_kept), dtype=np.float32)
    if delta is not None:
        kept[:] = delta[mask].reshape(n_rows, n_kept)
    unit = unit_for(float(np.abs(kept).max(initial=0.0)))
    parts: Parts = {"unit": one_float(unit)}
    if options.width == 16:
        parts["q"] = to_halves(kept, unit)
    else:
        parts |= _coded(kept / np.float32(unit), stack, options)
    return parts | (encode_mask(mask.reshape(-1)) if options.store_mask else _check(mask))


def _check(mask: Mask) -> Parts:
    return {"check": mask_check(mask.reshape(-1))}


def _coded(kept: Floats, stack: Stack, options: GroupDropoutOptions) -> Parts:
    """Round to even steps between the ends of a range, for the ends as stored."""
    n_ranges = len(kept) if options.scale == "row" else stack.count
    sets = kept.reshape(n_ranges, kept.size // n_ranges if n_ranges else 0)
    ends = np.zeros((n_ranges, 2), dtype=np.float16)
    if sets.size:
        ends = np.stack([sets.min(axis=1), sets.max(axis=1)], axis=1).astype(np.float16)
    low, step = _grid(ends, options)
    safe = np.where(step == 0, np.float32(1), step)
    top = np.float32((1 << options.width) - 1)
    levels = np.clip(np.rint((sets - low) / safe), 0, top) * (step != 0)
    codes = levels.astype(np.uint16).reshape(kept.shape)
    return {"q": pack(codes, options.width), "scale": ends}


def _grid(ends: Halves, options: GroupDropoutOptions) -> tuple[Floats, Floats]:
    """Give ``(ranges, 1)`` lowest values and steps."""
    low, high = ends[:, :1].astype(np.float32), ends[:, 1:].astype(np.float32)
    return low, (high - low) / np.float32((1 << options.width) - 1)


def decode(parts: Parts, spec: TensorSpec, options: GroupDropoutOptions) -> Tensor:
    """Put the survivors back in their places and rescale them.

    Raises:
        MismatchError: the seed gives another mask than it did when the file was made.
        FileError: the parts are damaged.
    """
    import torch

    stack = as_stack(spec.shape)
    mask = _known_mask(parts, spec, stack, options)
    values = _values(parts, spec, stack, options)
    if options.rescale:
        values *= _weights(stack, options)
    out = torch.zeros(spec.shape)
    scatter(values.reshape(-1), mask.reshape(-1), out.view(-1).numpy())
    return out


def _values(parts: Parts, spec: TensorSpec, stack: Stack, options: GroupDropoutOptions) -> Floats:
    rows, n_kept = stack.count * stack.rows, kept_a_row(stack, options)
    unit = float(take(parts, "unit", np.float32, (1,), spec)[0])
    if options.width == 16:
        return from_halves(take(parts, "q", np.float16, (rows, n_kept), spec), unit)
    width = packed_width(n_kept, options.width)
    packed = take(parts, "q", np.uint8, (rows, width), spec)
    n_ranges = rows if options.scale == "row" else stack.count
    low, step = _grid(take(parts, "scale", np.float16, (n_ranges, 2), spec), options)
    if options.scale == "matrix":
        low, step = (np.repeat(one, stack.rows, axis=0) for one in (low, step))
    values = unpack(packed, options.width, n_kept).astype(np.float32)
    values *= step
    values += low
    values *= np.float32(unit)
    return values


def _weights(stack: Stack, options: GroupDropoutOptions) -> Floats:
    """By what each survivor of a row is multiplied: its group's length over what is kept."""
    lengths, kept = group_counts(stack.cols, options.group_size, 1.0 - options.drop_rate)
    weights: Floats = np.repeat(lengths / np.maximum(kept, 1), kept).astype(np.float32)
    return weights


def _known_mask(parts: Parts, spec: TensorSpec, stack: Stack, options: GroupDropoutOptions) -> Mask:
    if options.store_mask:
        return _stored_mask(parts, spec, stack, options)
    mask = _mask(spec, stack, options)
    check = take(parts, "check", np.uint8, (CHECK_BYTES,), spec)
    if not np.array_equal(check, mask_check(mask.reshape(-1))):
        raise MismatchError(
            f"seed {spec.seed} gives another mask than the one the file was made with",
            where=spec.name,
            fix="Use the program version that wrote the file, or make it again with 'store_mask'",
        )
    return mask


def _stored_mask(
    parts: Parts, spec: TensorSpec, stack: Stack, options: GroupDropoutOptions
) -> Mask:
    try:
        flat = decode_mask(parts, stack.n_elements)
    except DamagedError as error:
        raise damaged(spec, f"the mask {error}") from error
    mask = flat.reshape(stack.count * stack.rows, stack.cols)
    n_kept = kept_a_row(stack, options)
    if not (mask.sum(axis=1) == n_kept).all():
        raise damaged(spec, f"the mask does not keep {n_kept:,} values of every row")
    return mask


def stored_bits(shape: tuple[int, ...], options: GroupDropoutOptions) -> float:
    """Bits of codes, padded rows included, ranges, the unit, and the mask or its checksum."""
    stack = as_stack(shape)
    rows, n_kept = stack.count * stack.rows, kept_a_row(stack, options)
    bits = 8.0 * rows * packed_width(n_kept, options.width) + 32
    if options.width != 16:
        bits += 32 * (rows if options.scale == "row" else stack.count)
    if not options.store_mask:
        return bits + 8 * CHECK_BYTES
    return bits + stack.n_elements * entropy(n_kept / max(1, stack.cols))


def payload_bits(
    parts: Parts,  # noqa: ARG001
    spec: TensorSpec,
    options: GroupDropoutOptions,
) -> float:
    """Bits of the survivors' codes."""
    stack = as_stack(spec.shape)
    return float(stack.count * stack.rows * kept_a_row(stack, options) * options.width)


METHOD = CompressionMethod(
    id="group-dropout",
    title="Group dropout (after DeltaDQ)",
    family="compression",
    summary="Like DARE, but evenly in every group of a row, and with few bits a survivor.",
    source="After DeltaDQ, arXiv:2410.08666",
    options=GroupDropoutOptions,
    evidence="Of the paper the abstract was read, details are from memory; its choice of the "
    "group size by attention outputs is left out.",
    is_random=True,
    encode=encode,
    decode=decode,
    stored_bits=stored_bits,
    payload_bits=payload_bits,
    size_option=SizeOption("drop_rate", 0.0, 0.9999, of_rest=True),
)
