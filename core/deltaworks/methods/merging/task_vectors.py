"""The task-arithmetic family: sparsify, weigh, elect signs, normalize, scale, add.

One kernel for task arithmetic, TIES, DARE, breadcrumbs and DELLA. They differ in the
sparsifier and in whether signs are elected. Source: arcee-ai/mergekit 0.1.5,
generalized task arithmetic; all arithmetic in float32, one rounding by the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deltaworks.methods.merging.kept import Kept, l1_factor
from deltaworks.methods.merging.kernel import checked, flat_base, flat_experts, weight_sum
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.selection import MAGNITUDE, Floats, Keys

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.method import MergeInputs, TensorSpec

Rescale = Literal["none", "l1", "paper"]
"""``l1``: to the sum of magnitudes before the drop; ``paper``: divided by the density."""

_SIGN = np.int32(-(1 << 31))
_BUFFERS_BYTES = 2_000_000


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


Sparsifier = Callable[[Floats, Any, Place], Kept]
"""Flat delta, the expert's options and its place to what is kept. The delta is only read."""


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
        tensor: flat, as stored.
        weight: as chosen.
        kept: None for everything.
        factor: weight times the rescaling.
    """

    tensor: Tensor
    weight: float
    kept: Kept | None
    factor: float


def merge_task_vectors(inputs: MergeInputs, rule: Rule) -> Tensor:
    """Merge one tensor by a rule.

    Raises:
        OptionError: weights that sum to zero cannot be normalized.
        NotFiniteError: an input holds NaN or infinity.
    """
    import torch

    base, tensors = flat_base(inputs), flat_experts(inputs)
    weights = [float(expert.options.weight) for expert in inputs.experts]
    if rule.normalize and not rule.elects_signs:
        weight_sum(weights, inputs.spec.name)
    out = torch.empty(base.numel())
    experts = [
        _sparse(base, tensor, rule, inputs.experts[index].options, Place(inputs.spec, index), out)
        for index, tensor in enumerate(tensors)
    ]
    buffers = _Buffers.of(len(experts) if rule.elects_signs else 1)
    # Infinity times nothing is NaN, which is found and refused at the end.
    with np.errstate(invalid="ignore"):
        for span in spans(len(out), buffers.size):
            _merge_piece(base, experts, rule, span, buffers, out.numpy()[span])
    return checked(out, inputs)


def _sparse(
    base: Tensor, tensor: Tensor, rule: Rule, own: Any, place: Place, scratch: Tensor
) -> _Expert:
    """Find what to keep of one delta; ``scratch`` holds it meanwhile."""
    weight = float(own.weight)
    if rule.sparsify is None or own.density >= 1.0 or scratch.numel() == 0:
        return _Expert(tensor, weight, None, weight)
    for span in spans(scratch.numel()):
        piece = scratch[span]
        piece.copy_(tensor[span])
        piece.sub_(base[span].float())
    values = scratch.numpy()
    kept = rule.sparsify(values, own, place)
    factor = weight
    if rule.rescale == "l1":
        with np.errstate(invalid="ignore"):
            factor = weight * l1_factor(values, kept)
    elif rule.rescale == "paper":
        factor = weight / float(own.density)
    return _Expert(tensor, weight, kept, factor)


@dataclass(frozen=True, slots=True)
class _Buffers:
    """Room for one piece, small enough to stay in the cache.

    Args:
        start: base in float32.
        deltas: one row for every delta that is needed at once.
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
    def of(cls, n_deltas: int) -> _Buffers:
        """Make buffers for a number of deltas."""
        size = max(1 << 12, min(1 << 16, _BUFFERS_BYTES // (4 * (n_deltas + 5))))
        rows = [np.empty(size, dtype=np.float32) for _ in range(3)]
        deltas = np.empty((n_deltas, size), dtype=np.float32)
        return cls(rows[0], deltas, rows[1], rows[2], np.empty(size, dtype=np.int32))

    @property
    def size(self) -> int:
        """Elements a piece."""
        return len(self.start)


def _merge_piece(
    base: Tensor, experts: list[_Expert], rule: Rule, span: slice, buffers: _Buffers, out: Floats
) -> None:
    """Merge one piece into ``out``."""
    import torch

    count = span.stop - span.start
    start, keys = buffers.start[:count], buffers.scratch[:count]
    torch.from_numpy(start).copy_(base[span])
    total = buffers.total[:count] if rule.elects_signs else out
    total.fill(0.0)
    for number, expert in enumerate(experts):
        delta = buffers.deltas[number % len(buffers.deltas), :count]
        torch.from_numpy(delta).copy_(expert.tensor[span])
        np.subtract(delta, start, out=delta)
        if expert.kept is not None:
            expert.kept.zero(delta, keys, span.start)
        np.multiply(delta, np.float32(expert.factor), out=delta)
        np.add(total, delta, out=total)
    weights = [expert.weight for expert in experts]
    divisor: Any = np.float32(sum(weights))
    if rule.elects_signs:
        divisor = buffers.divisor[:count]
        agree(buffers.deltas[:, :count], weights, total, divisor, keys, out)
    if rule.normalize:
        np.divide(out, divisor, out=out)
    if rule.scale != 1.0:
        np.multiply(out, np.float32(rule.scale), out=out)
    np.add(out, start, out=out)


def agree(
    deltas: Floats, weights: list[float], total: Floats, divisor: Floats, keys: Keys, out: Floats
) -> None:
    """Sum the deltas with the elected sign into ``out`` and their weights into ``divisor``.

    A sum of exactly zero elects plus, an exact zero never agrees.

    Args:
        deltas: weighted, one row an expert; changed.
        weights: of the experts.
        total: the election's sums, begun at +0; changed.
        divisor: filled with the weights that agree, 1 where none does.
        keys: scratch.
        out: filled.
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
