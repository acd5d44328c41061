"""The task-arithmetic family: sparsify, weigh, elect signs, normalize, scale, add.

One kernel for task arithmetic, TIES, DARE, breadcrumbs and DELLA. They differ in the
sparsifier and in whether signs are elected. Source: arcee-ai/mergekit 0.1.5, generalized
task arithmetic. Every step is followed by a rounding where mergekit has one; in our own
numerics that does nothing, and the engine rounds once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deltaworks.methods.merging.kept import Chosen, Kept
from deltaworks.methods.merging.kernel import ZERO_WEIGHTS, weight_sum
from deltaworks.methods.merging.pieces import Delta, base_of
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.ordered_sums import OrderedSum
from deltaworks.numerics.rounding import Arithmetic
from deltaworks.numerics.selection import MAGNITUDE, Floats, Keys

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs
    from deltaworks.methods.method import TensorSpec

Rescale = Literal["none", "l1", "paper"]
"""``l1``: to the sum of magnitudes before the drop; ``paper``: divided by the density."""

N_BUFFERS = 6
"""Pieces beside one for every expert: base, sums, divisor, masks, the result, its words."""

_SIGN = np.int32(-(1 << 31))
_TOP = np.int32(31)
_NOTHING = np.float32(0.0)
_NO_LENGTH = 1e-7
_PIECE = 1 << 15
_SIDE = 1 << 10


@dataclass(frozen=True, slots=True)
class Place:
    """Whose delta a sparsifier sees.

    Args:
        spec: name, shape and seed.
        index: the expert's place among those that have the tensor.
    """

    spec: TensorSpec
    index: int


def stream_of(place: Place) -> str:
    """Name the random stream of one expert; seed and tensor name are the rest of the key."""
    return f"expert {place.index}"


Sparsifier = Callable[[Delta, Any, Place], Kept]
"""Delta of at least one number, the expert's options and its place to what is kept."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One member of the family with its options.

    Args:
        sparsify: what is kept of every delta whose density is below 1; None for all.
        elects_signs: whether only deltas with the majority's sign count.
        rescale: how the survivors are scaled up.
        normalize: whether the sum is divided by the weights in it.
        scale: factor of the merged delta.
    """

    sparsify: Sparsifier | None = None
    elects_signs: bool = False
    rescale: Rescale = "none"
    normalize: bool = False
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class _Expert:
    """One expert and what is kept of its delta.

    Args:
        delta: of its tensor.
        weight: rounded as numbers of the tensor are.
        zero: sets to zero what is dropped; None where everything is kept.
        rescale: factor of what is kept; 1 for none.
    """

    delta: Delta
    weight: np.float32
    zero: Callable[[Floats, Keys], None] | None
    rescale: np.float32


def stream_task_vectors(inputs: StreamInputs, rule: Rule) -> Fill:
    """Merge one tensor by a rule.

    Raises:
        OptionError: weights that sum to zero cannot be normalized.
    """
    base, exact = base_of(inputs), inputs.arithmetic
    weights = [float(own.weight) for own in inputs.options]
    if rule.normalize and not rule.elects_signs:
        weight_sum(weights, inputs.spec.name)
    experts = _experts(inputs, rule)
    rounded = [expert.weight for expert in experts]
    total_weight = _sum_of(rounded, exact)
    n_deltas = len(experts) if rule.elects_signs else 1
    rows = inputs.room.rows(n_deltas + 4)

    def fill(span: slice, out: Floats) -> None:
        count = span.stop - span.start
        start, total, shared, bits = rows[:4, :count]
        keys, deltas = bits.view(np.int32), rows[4 : 4 + n_deltas, :count]
        base.into(span, start)
        total = total if rule.elects_signs else out
        for number, expert in enumerate(experts):
            delta = deltas[number % n_deltas]
            _weighted(expert, span, start, delta, keys)
            if number:
                np.add(total, delta, out=total)
            else:
                np.add(delta, _NOTHING, out=total)  # never -0
        divisor: Any = total_weight
        if rule.elects_signs:
            agree(deltas, rounded, total, shared if rule.normalize else None, keys, out)
            exact.round(shared)
            divisor = shared
        exact.round(out)
        if rule.normalize:
            np.divide(out, divisor, out=out)
            exact.round(out)
        if rule.scale != 1.0:
            np.multiply(out, np.float32(rule.scale), out=out)
            exact.round(out)
        np.add(out, start, out=out)
        exact.round(out)

    return fill


def _sum_of(weights: Sequence[np.float32], exact: Arithmetic) -> np.float32:
    total = np.float32(0.0)
    for weight in weights:
        total = np.float32(total + weight)
    total = exact.number(float(total))
    return np.float32(1.0) if abs(float(total)) < ZERO_WEIGHTS else total


def _experts(inputs: StreamInputs, rule: Rule) -> list[_Expert]:
    """Find what to keep of every delta."""
    buffers = np.empty((2, _PIECE), dtype=np.float32)
    found = []
    for index, (expert, own) in enumerate(zip(inputs.experts, inputs.options, strict=True)):
        delta = Delta(inputs.base, expert, inputs.arithmetic, buffers)
        weight = inputs.arithmetic.number(float(own.weight))
        zero, rescale = None, 1.0
        if rule.sparsify is not None and own.density < 1.0 and len(delta):
            kept = rule.sparsify(delta, own, Place(inputs.spec, index))
            if rule.rescale == "l1":
                # Of what was drawn at random, no bits are to be met.
                rescale = l1_factor(delta, kept, in_order=not isinstance(kept, Chosen))
            elif rule.rescale == "paper":
                rescale = 1.0 / float(own.density)
            zero = kept.zeroing()
        found.append(_Expert(delta, weight, zero, inputs.arithmetic.number(rescale)))
    return found


def _weighted(expert: _Expert, span: slice, start: Floats, delta: Floats, keys: Keys) -> None:
    """Write what counts of a delta."""
    exact = expert.delta.arithmetic
    expert.delta.onto(span, start, delta)
    if expert.zero is not None:
        expert.zero(delta, keys)
    factors = [expert.rescale, expert.weight]
    if not exact.is_mergekit:  # which rounds in between
        factors = [np.float32(expert.rescale * expert.weight)]
    for factor in factors:
        if factor != 1.0:
            np.multiply(delta, factor, out=delta)
            exact.round(delta)


def l1_factor(delta: Delta, kept: Kept, *, in_order: bool = False) -> float:
    """Sum of magnitudes before over after the drop; 1 when either is nothing.

    Args:
        delta: before.
        kept: what is left.
        in_order: whether mergekit's numerics need torch's order of sums.
    """
    sums = [sum_for(delta.arithmetic, len(delta) if in_order else 0) for _ in range(2)]
    keys, zero = np.empty(_PIECE, dtype=np.int32), kept.zeroing()
    for span in spans(len(delta), _PIECE):
        piece = delta.piece(span)
        np.abs(piece, out=piece)
        sums[0].add(piece)
        zero(piece, keys)
        sums[1].add(piece)
    before, after = (float(delta.arithmetic.number(float(one.result()))) for one in sums)
    return 1.0 if min(before, after) < _NO_LENGTH else before / after


class _FastSum:
    """Sums numbers in any order; see ``sum_of``."""

    def __init__(self) -> None:
        self._total = 0.0

    def add(self, piece: Floats) -> None:
        """Add the next numbers."""
        self._total += sum_of(piece)

    def result(self) -> float:
        """Give the sum."""
        return self._total


def sum_for(exact: Arithmetic, count: int) -> OrderedSum | _FastSum:
    """Choose how to sum: in torch's order where its bits are to be met.

    In half precision a sum is rounded to so few bits that the order does not show.

    Args:
        exact: what is computed in.
        count: of the numbers; 0 where the order does not matter.
    """
    in_order = exact.is_mergekit and exact.dtype == "F32" and count
    return OrderedSum(count) if in_order else _FastSum()


def sum_of(piece: Floats) -> float:
    """Sum numbers in float32, in 1,024 sums side by side: few enough to lose nothing."""
    whole = len(piece) // _SIDE * _SIDE
    sums = np.add.reduce(piece[:whole].reshape(-1, _SIDE), axis=0)
    return float(sums.sum()) + float(piece[whole:].sum())


def agree(
    deltas: Floats,
    weights: Sequence[np.float32],
    total: Floats,
    divisor: Floats | None,
    keys: Keys,
    out: Floats,
) -> None:
    """Sum the deltas with the elected sign into ``out`` and their weights into ``divisor``.

    A sum of exactly zero elects plus, an exact zero never agrees.

    Args:
        deltas: weighted, one row an expert; changed.
        weights: of the experts.
        total: the election's sums, begun at +0; changed.
        divisor: filled with the weights that agree, another number than 0 where none does;
            None for none.
        keys: scratch.
        out: filled.
    """
    # A sum that begins at +0 is never -0, so its sign bit is clear when it is zero.
    elected = total.view(np.int32)
    np.bitwise_and(elected, _SIGN, out=elected)
    for number, (delta, weight) in enumerate(zip(deltas, weights, strict=True)):
        bits = delta.view(np.int32)
        np.bitwise_xor(bits, elected, out=bits)
        np.maximum(delta, _NOTHING, out=delta)
        np.bitwise_and(bits, MAGNITUDE, out=bits)  # The larger of -0 and 0 may be -0.
        if number:
            np.add(out, delta, out=out)
        else:
            np.copyto(out, delta)
        if divisor is not None:
            _add_weight(bits, weight, keys, divisor, is_first=not number)
    if divisor is not None:
        _fill_gaps(divisor, min(weights), keys)
    np.bitwise_xor(out.view(np.int32), elected, out=out.view(np.int32))


def _fill_gaps(divisor: Floats, least: np.float32, scratch: Keys) -> None:
    """Put a number where the divisor is zero; the sum is zero there, unless weights cancel."""
    if least > 0.0:
        np.maximum(divisor, least, out=divisor)
        return
    gaps = scratch.view(np.float32)
    np.copyto(gaps, divisor == _NOTHING)
    np.add(divisor, gaps, out=divisor)


def _add_weight(
    bits: Keys, weight: np.float32, keys: Keys, divisor: Floats, *, is_first: bool
) -> None:
    """Add a weight wherever a number is above zero, given its bits."""
    # Bits of a positive number are positive: negate and smear to a mask of ones.
    np.negative(bits, out=keys)
    np.right_shift(keys, _TOP, out=keys)
    np.bitwise_and(keys, weight.view(np.int32), out=keys)
    if is_first:
        np.copyto(divisor, keys.view(np.float32))
    else:
        np.add(divisor, keys.view(np.float32), out=divisor)
