"""Any compression method as a sparsifier of the experts' changes, before they are merged.

DARE, magnitude pruning, ImPart and low rank are the usual ones. Each expert's change is
encoded and decoded, and the expert becomes the base plus what came back; the merging
method then runs unchanged.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deltaworks.errors import OptionError
from deltaworks.methods.compression_record import CompressionMethod, TensorPair
from deltaworks.methods.merging_record import MergeExpert, MergeInputs

if TYPE_CHECKING:
    from torch import Tensor

_LEAST_AXES = 2


def sparsified(inputs: MergeInputs, method: CompressionMethod, options: Any) -> MergeInputs:
    """Give the same inputs with sparse changes, in float32.

    Vectors stay as they are: norms and biases are few and sensitive.

    Args:
        inputs: of a whole tensor.
        method: what the changes go through.
        options: of that method.

    Raises:
        OptionError: there is no base, so there are no changes.
    """
    if inputs.base is None:
        raise OptionError(
            "changes cannot be made sparse without a base",
            where=inputs.spec.name,
            fix="Choose the experts' base, or leave the sparsifier out",
        )
    if len(inputs.spec.shape) < _LEAST_AXES or not inputs.base.numel():
        return inputs
    base = inputs.base
    experts = (
        _sparse(inputs, base, index, method, options) for index in range(len(inputs.experts))
    )
    return replace(inputs, experts=tuple(experts))


def _sparse(
    inputs: MergeInputs, base: Tensor, index: int, method: CompressionMethod, options: Any
) -> MergeExpert:
    expert = inputs.experts[index]
    place = index if expert.place < 0 else expert.place
    # The name is part of the random stream: every expert draws a mask of its own.
    spec = replace(inputs.spec, name=f"{inputs.spec.name} expert {place}")
    if method.decode is None:
        return expert
    parts = method.encode(TensorPair(spec, base, expert.tensor, expert.gram), options)
    return replace(expert, tensor=base.float() + method.decode(parts, spec, options))
