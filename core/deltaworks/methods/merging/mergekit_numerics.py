"""Methods whose bits depend on the order of sums, computed in torch in mergekit's order.

In ``mergekit-0.1.5`` numerics most methods stream and round where mergekit rounds. The ones
here also need its norms and dot products, so they see whole tensors, in the dtype that
mergekit computes in. Written from the merging specification, 3.2, and from outputs of
mergekit 0.1.5; the order of operations is part of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from deltaworks.methods.merging import mergekit_spheres as spheres
from deltaworks.methods.merging.kernel import checked
from deltaworks.methods.merging.mergekit_fusion import arcee_fusion
from deltaworks.methods.merging_record import MergingMethod

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs

Compute = Callable[["Tensor | None", "list[Tensor]", Any, Sequence[Any]], "Tensor"]
"""Base, experts, options and each expert's options to the merged tensor."""

_WHOLE: dict[str, Compute] = {
    "nuslerp": spheres.nuslerp,
    "multislerp": spheres.multislerp,
    "karcher": spheres.karcher,
    "model-stock": spheres.model_stock,
    "arcee-fusion": arcee_fusion,
}
_FIXED_BYTES, _EXPERT_BYTES = 16, 16
_SAMPLED = 1_000_000
"""Arcee fusion's quartiles of larger tensors come from a random sample."""


def in_mergekits_order(method: MergingMethod, n_experts: int, n_elements: int) -> MergingMethod:
    """Give the method as it has to be computed for mergekit's bits.

    Args:
        method: any.
        n_experts: of one tensor.
        n_elements: of the tensor.

    Returns:
        The method itself where it streams to the same bits, or where mergekit draws at
        random; else its twin on whole tensors.
    """
    compute = _WHOLE.get(method.id)
    if compute is None or (method.id == "arcee-fusion" and n_elements > _SAMPLED):
        return method
    return replace(
        method,
        stream=None,
        merge=partial(_merge, compute),
        is_elementwise=False,
        working_bytes=_FIXED_BYTES + _EXPERT_BYTES * n_experts,
    )


def _merge(compute: Compute, inputs: MergeInputs, options: Any) -> Tensor:
    """Cast to what mergekit computes in, and look for NaN in the result.

    Raises:
        NotFiniteError: an input holds NaN or infinity.
    """
    from deltaworks.numerics.words import torch_dtype

    dtype = torch_dtype(inputs.arithmetic.dtype)
    base = None if inputs.base is None else inputs.base.to(dtype)
    experts = [expert.tensor.to(dtype) for expert in inputs.experts]
    own = [expert.options for expert in inputs.experts]
    if len(experts) == 1 and compute in {spheres.nuslerp, spheres.multislerp, spheres.karcher}:
        return checked(experts[0].clone(), inputs)
    return checked(compute(base, experts, options, own), inputs)
