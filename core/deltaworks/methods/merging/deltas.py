"""The experts' changes of one tensor in float32, checked; and the way back to the base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltaworks.errors import OptionError
from deltaworks.methods.merging.kernel import checked, flat_base, flat_experts, is_finite
from deltaworks.methods.streaming import not_finite
from deltaworks.numerics.gram import difference
from deltaworks.options import option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs


def flat_deltas(inputs: MergeInputs) -> list[Tensor]:
    """Give every expert minus the base, flat in float32.

    Raises:
        MismatchError: the base is missing, or a shape differs.
        NotFiniteError: an input holds NaN or infinity.
    """
    base = flat_base(inputs)
    deltas = [difference(expert, base) for expert in flat_experts(inputs)]
    if not all(is_finite(delta) for delta in deltas):
        raise not_finite(inputs.spec.name)
    return deltas


def delta_arrays(inputs: MergeInputs) -> list[npt.NDArray[np.float32]]:
    """Give ``flat_deltas`` as NumPy arrays."""
    return [np.asarray(delta.numpy()) for delta in flat_deltas(inputs)]


def onto_base(merged: Tensor, scale: float, inputs: MergeInputs) -> Tensor:
    """Give ``base + scale * merged``; the flat merged change is used up."""
    return checked(merged.mul_(scale).add_(flat_base(inputs).float()), inputs)


def expert_field() -> Any:
    """Declare which expert's model a switching method gives."""
    return option(
        1,
        ge=1,
        le=1000,
        title="Expert",
        help="Whose model to give, by its place among the experts. One unified change and "
        "a mask for each expert make them all.",
    )


def chosen_expert(inputs: MergeInputs, number: int) -> int | None:
    """Give the index of the chosen expert among those that have the tensor.

    Args:
        inputs: of one tensor.
        number: its place in the recipe, from 1.

    Returns:
        None when it has no such tensor.

    Raises:
        OptionError: there is no such expert.
    """
    known = [expert.place for expert in inputs.experts]
    if min(known) >= 0:
        return known.index(number - 1) if number - 1 in known else None
    if number > len(known):
        raise OptionError(
            f"option 'expert' is {number}, with {len(known)} experts",
            where=inputs.spec.name,
            fix="Choose one of them",
        )
    return number - 1


def one_and_masks(n_experts: int, options: Any, bits: float) -> float:  # noqa: ARG001
    """Count one model and a bit a weight for every expert."""
    return 1.0 + n_experts / bits
