"""What the merging methods share: checks, pieces, and arithmetic in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.errors import MismatchError, OptionError
from deltaworks.methods.streaming import check_shape, not_finite

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs

ZERO_WEIGHTS = 1e-8


def flat_experts(inputs: MergeInputs) -> list[Tensor]:
    """Give the experts' tensors as flat arrays.

    Raises:
        OptionError: there is none.
        MismatchError: one has another shape.
    """
    if not inputs.experts:
        raise OptionError("a merge needs at least one expert", where=inputs.spec.name)
    return [_flat(expert.tensor, inputs, "an expert") for expert in inputs.experts]


def one_expert(inputs: MergeInputs, method: str) -> Tensor:
    """Give the only expert's tensor as a flat array.

    Raises:
        OptionError: there is another number of them.
        MismatchError: it has another shape.
    """
    experts = flat_experts(inputs)
    if len(experts) != 1:
        raise OptionError(
            f"{method} goes from the base to one other model, not to {len(experts)}",
            where=inputs.spec.name,
            fix="Choose one expert, or another method",
        )
    return experts[0]


def flat_base(inputs: MergeInputs) -> Tensor:
    """Give the base as a flat array.

    Raises:
        MismatchError: it is missing or has another shape.
    """
    if inputs.base is None:
        raise MismatchError(
            "the base has no such tensor, and the method needs it",
            where=inputs.spec.name,
            fix="Choose a base with the same tensors as the experts",
        )
    return _flat(inputs.base, inputs, "the base")


def _flat(tensor: Tensor, inputs: MergeInputs, who: str) -> Tensor:
    check_shape(tuple(tensor.shape), inputs.spec, who)
    return tensor.reshape(-1)


def weight_sum(weights: list[float], where: str) -> float:
    """Sum weights that will be divided by.

    Raises:
        OptionError: they sum to zero.
    """
    total = sum(weights)
    if abs(total) < ZERO_WEIGHTS:
        shown = ", ".join(f"{weight:g}" for weight in weights)
        raise OptionError(
            f"the weights {shown} sum to {total:g}, so they cannot be normalized",
            where=where,
            fix="Change a weight, or switch 'normalize' off",
        )
    return total


def checked(merged: Tensor, inputs: MergeInputs) -> Tensor:
    """Give the merged tensor its shape, after looking for NaN and infinity.

    Raises:
        NotFiniteError: an input holds one, or the weights made one.
    """
    if not is_finite(merged):
        raise not_finite(inputs.spec.name)
    return merged.view(inputs.spec.shape)


def is_finite(values: Tensor) -> bool:
    """Look for NaN and infinity."""
    import torch

    # A sum is cheap and NaN or infinity anywhere shows in it; look closer only then.
    return bool(torch.isfinite(values.sum()) or torch.isfinite(values).all())
