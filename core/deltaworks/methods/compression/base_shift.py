"""Base shift: move the base by a first, cheap delta and compress what is then left.

Source: after Huang et al., "Dynamic Base Model Shift for Delta Compression",
arXiv:2505.11344. Only the abstract could be read: what is here is our formulation of it,
not a reproduction. The two numbers, magnitude of the shift and scale of the rest, are
found for every tensor by least squares on the weights; with a text, by a search for what
brings the layer's outputs nearest. The authors learn them per task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deltaworks.methods.compression import dare, impart, low_rank, sign
from deltaworks.methods.compression.calibrated import CALIBRATED, grams_for
from deltaworks.methods.compression.parts import finite_delta, take
from deltaworks.methods.compression_record import CompressionMethod, TensorPair
from deltaworks.methods.method import Needs
from deltaworks.numerics.gptq import output_error
from deltaworks.numerics.matrices import Stack, as_stack
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts
    from deltaworks.methods.method import TensorSpec

_OTHER_DRAW = 1 << 63
"""Flipped in the seed of the shift, so that two random methods draw two masks."""

_SHIFTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""Multiples of the best shift that a search tries."""

_LABELS = {
    "low-rank": "Low rank",
    "impart": "ImPart",
    "dare": "DARE",
    "sign": "Sign (always 1 bit)",
}


class BaseShiftOptions(Options):
    """Options of base shift."""

    first: Literal["low-rank", "impart", "dare", "sign"] = option(
        "low-rank",
        title="Shift by",
        help="Method that makes the first, cheap delta, with its default options.",
        sweepable=True,
        labels=_LABELS,
    )
    first_bits: float = option(
        0.25,
        gt=0.0,
        le=16.0,
        unit="bits",
        title="Bits per weight of the shift",
        help="What the first delta may cost. More moves the base nearer and makes larger files.",
        step=0.25,
        sweepable=True,
    )
    second: Literal["low-rank", "impart", "dare", "sign"] = option(
        "sign",
        title="Compress the rest by",
        help="Method that stores what the shift leaves, with its default options.",
        sweepable=True,
        labels=_LABELS,
    )
    second_bits: float = option(
        1.0,
        gt=0.0,
        le=16.0,
        unit="bits",
        title="Bits per weight of the rest",
        help="What the second delta may cost. More follows the fine-tune better and makes "
        "larger files.",
        step=0.25,
        sweepable=True,
    )
    shift: float = option(
        1.0,
        ge=0.0,
        le=4.0,
        unit="times the best",
        title="Magnitude of the shift",
        help="How far the base moves, beside what is best in squared error. 0 does not move "
        "it, and stores a first delta in vain.",
        step=0.25,
        advanced=True,
        sweepable=True,
    )
    scale: float = option(
        1.0,
        ge=0.0,
        le=4.0,
        unit="times the best",
        title="Scale of the rest",
        help="How much of the second delta is added, beside what is best in squared error.",
        step=0.25,
        advanced=True,
        sweepable=True,
    )
    calibrated: bool = CALIBRATED


@dataclass(frozen=True, slots=True)
class Inner:
    """One of the two methods inside, with its options."""

    method: CompressionMethod
    options: Options

    def decode(self, parts: Parts, spec: TensorSpec) -> Tensor:
        """Decode its parts."""
        if self.method.decode is None:
            raise TypeError(f"method '{self.method.id}' cannot decode to a delta")
        return self.method.decode(parts, spec, self.options)


@dataclass(frozen=True, slots=True)
class Tuning:
    """The two numbers; None for the best ones times what the options say."""

    shift: float | None = None
    scale: float | None = None


def inner(name: str, bits: float) -> Inner:
    """Give a method at about so many bits a weight."""
    if name == "low-rank":
        return Inner(low_rank.METHOD, low_rank.LowRankOptions(bits=bits))
    if name == "impart":
        return Inner(impart.METHOD, impart.ImpartOptions(ratio=16.0 / bits))
    if name == "dare":
        return Inner(dare.METHOD, dare.DareOptions(drop_rate=1.0 - bits / 16.0))
    return Inner(sign.METHOD, sign.SignOptions())


def _inners(options: BaseShiftOptions) -> tuple[Inner, Inner]:
    return inner(options.first, options.first_bits), inner(options.second, options.second_bits)


def encode(pair: TensorPair, options: BaseShiftOptions) -> Parts:
    """Store the shift, the rest, and the two numbers."""
    stack = as_stack(pair.spec.shape)
    grams = grams_for(pair, stack, calibrated=options.calibrated)
    if grams is None or not pair.delta.numel():
        return encode_tuned(pair, options, Tuning())
    return _searched(pair, options, grams, stack)


def _searched(
    pair: TensorPair, options: BaseShiftOptions, grams: list[Tensor], stack: Stack
) -> Parts:
    """Try shifts, none among them, and take what brings the layer's outputs nearest.

    For each shift the scale is the best one for the outputs; the scale 1 is tried as well,
    so that the plain second method is among the candidates.
    """
    usual = encode_tuned(pair, options, Tuning())
    best, least = usual, _output_error(pair, usual, options, grams, stack)
    found = float(usual["tuning"][0])
    for share in _SHIFTS:
        parts = encode_tuned(pair, options, Tuning(shift=share * found))
        first, second = _parts_of(pair, parts, options)
        rest = pair.delta - first
        scales = {_best_for_outputs(rest, second, grams, stack) * options.scale, 1.0}
        for scale in scales:
            tried = {**parts, "tuning": np.array([parts["tuning"][0], scale], dtype=np.float32)}
            error = _output_error(pair, tried, options, grams, stack)
            if error < least:
                best, least = tried, error
    return best


def _parts_of(pair: TensorPair, parts: Parts, options: BaseShiftOptions) -> tuple[Tensor, Tensor]:
    """Decode the shift, scaled, and the rest, not scaled."""
    first, second = _inners(options)
    towards = first.decode(_under(parts, "b."), _other_draw(pair.spec))
    return towards * float(parts["tuning"][0]), second.decode(_under(parts, "c."), pair.spec)


def _output_error(
    pair: TensorPair, parts: Parts, options: BaseShiftOptions, grams: list[Tensor], stack: Stack
) -> float:
    gap = (pair.delta - decode(parts, pair.spec, options)).reshape(stack.shape)
    return sum(output_error(one, grams[at % len(grams)]) for at, one in enumerate(gap))


def _best_for_outputs(wanted: Tensor, have: Tensor, grams: list[Tensor], stack: Stack) -> float:
    """By what ``have`` must be multiplied to give the outputs of ``wanted`` most nearly."""
    above = below = 0.0
    pairs = zip(wanted.reshape(stack.shape), have.reshape(stack.shape), strict=True)
    for at, (one, other) in enumerate(pairs):
        seen = other @ grams[at % len(grams)]
        above += float((seen * one).double().sum())
        below += float((seen * other).double().sum())
    return above / below if below > 0.0 else 0.0


def encode_tuned(pair: TensorPair, options: BaseShiftOptions, tuning: Tuning) -> Parts:
    """Encode with given numbers in place of the best ones.

    Args:
        pair: of which tensor.
        options: of base shift.
        tuning: the numbers to use as they are.
    """
    delta = finite_delta(pair)
    first, second = _inners(options)
    drawn = pair.reseeded(_other_draw(pair.spec).seed)
    moved = first.method.encode(drawn, first.options)
    towards = first.decode(moved, drawn.spec)
    shift = np.float32(_chosen(tuning.shift, options.shift, delta, towards))
    rest = pair if shift == 0.0 else _rest(pair, towards.mul_(-float(shift)))
    left = second.method.encode(rest, second.options)
    decoded = second.decode(left, pair.spec)
    scale = np.float32(_chosen(tuning.scale, options.scale, rest.delta, decoded))
    return {
        **{f"b.{name}": part for name, part in moved.items()},
        **{f"c.{name}": part for name, part in left.items()},
        "tuning": np.array([shift, scale], dtype=np.float32),
    }


def _other_draw(spec: TensorSpec) -> TensorSpec:
    return replace(spec, seed=spec.seed ^ _OTHER_DRAW)


def _rest(pair: TensorPair, moved_back: Tensor) -> TensorPair:
    """What the shift leaves, as a pair of its own; the argument is used up."""
    return TensorPair(pair.spec, None, moved_back.add_(pair.delta), pair.read_gram)


def _chosen(given: float | None, factor: float, wanted: Tensor, have: Tensor) -> float:
    return factor * best_multiple(wanted, have) if given is None else given


def best_multiple(wanted: Tensor, have: Tensor) -> float:
    """By what ``have`` must be multiplied to come nearest to ``wanted``; 0 when it is zero."""
    rows = max(1, have.shape[0]) if have.ndim else 1
    wanted, have = wanted.reshape(rows, -1), have.reshape(rows, -1)
    energy = float((have * have).sum(dim=1).double().sum())
    return float((wanted * have).sum(dim=1).double().sum()) / energy if energy > 0.0 else 0.0


def decode(parts: Parts, spec: TensorSpec, options: BaseShiftOptions) -> Tensor:
    """Add the shift and the scaled rest."""
    first, second = _inners(options)
    shift, scale = take(parts, "tuning", np.float32, (2,), spec).tolist()
    towards = first.decode(_under(parts, "b."), _other_draw(spec)).mul_(shift)
    return towards.add_(second.decode(_under(parts, "c."), spec), alpha=scale)


def _under(parts: Mapping[str, Any], prefix: str) -> Parts:
    return {
        name.removeprefix(prefix): part for name, part in parts.items() if name.startswith(prefix)
    }


def triples(shape: tuple[int, ...], options: BaseShiftOptions) -> int:
    """Triples that either of both methods takes of each matrix."""
    found = (
        one.method.triples(shape, one.options)
        for one in _inners(options)
        if one.method.triples is not None
    )
    return max(found, default=0)


def stored_bits(shape: tuple[int, ...], options: BaseShiftOptions) -> float:
    """Bits of both deltas and of the two numbers."""
    both = (one.method.stored_bits(shape, one.options) for one in _inners(options))
    return sum(both) + 64


def payload_bits(parts: Parts, spec: TensorSpec, options: BaseShiftOptions) -> float:
    """Bits of both deltas' codes."""
    both = zip(("b.", "c."), _inners(options), strict=True)
    return sum(one.method.payload_bits(_under(parts, p), spec, one.options) for p, one in both)


METHOD = CompressionMethod(
    id="base-shift",
    title="Base shift (after DBMS)",
    family="compression",
    summary="Moves the base by a cheap first delta and compresses what is then left.",
    source="After arXiv:2505.11344 (abstract only)",
    options=BaseShiftOptions,
    needs=Needs(helped_by=("gram",)),
    evidence="Our formulation after the abstract, the only part that could be read; not a "
    "reproduction.",
    is_random=True,
    encode=encode,
    decode=decode,
    stored_bits=stored_bits,
    payload_bits=payload_bits,
    triples=triples,
    working_bytes=64,
)
