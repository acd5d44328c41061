"""Multi-SLERP: the weighted mean of directions on a sphere, in one step.

Source: arcee-ai/mergekit 0.1.5, method ``multislerp``. The whole tensor is one vector.
Departure: vectors without length and directions that cancel do not stop a merge of zeros.
"""

from __future__ import annotations

from math import cos, sin, sqrt
from typing import TYPE_CHECKING

from deltaworks.errors import OptionError
from deltaworks.methods.merging.combination import combine
from deltaworks.methods.merging.fields import weight_field
from deltaworks.methods.merging.kernel import checked, flat_base, flat_experts, weight_sum
from deltaworks.methods.method import MergingMethod, Needs
from deltaworks.numerics.gram import gram
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.method import MergeInputs

_NO_LENGTH = 1e-8


class MultislerpOptions(Options):
    """Options of multi-SLERP."""

    normalize: bool = option(
        True,
        title="Normalize",
        help="Divide the weights by their sum, so that lengths are averaged.",
    )


class MultislerpExpertOptions(Options):
    """Options of each expert."""

    weight: float = weight_field("Share of this model's direction and length in the result.")


def merge(inputs: MergeInputs, options: MultislerpOptions) -> Tensor:
    """Average directions in the tangent of their mean, lengths by weight.

    Raises:
        OptionError: weights sum to zero, or three or more directions cancel.
    """
    vectors = flat_experts(inputs)
    if len(vectors) == 1:
        return checked(vectors[0].float().clone(), inputs)
    base = None if inputs.base is None else flat_base(inputs)
    weights = [float(expert.options.weight) for expert in inputs.experts]
    if options.normalize:
        total = weight_sum(weights, inputs.spec.name)
        weights = [weight / total for weight in weights]
    factors = _factors(gram(vectors, base), weights, inputs.spec.name)
    return checked(combine(vectors, factors, base), inputs)


def _factors(dots: Tensor, weights: list[float], where: str) -> list[float]:
    """Give the factor of each vector, from all dot products.

    With ``u_i = x_i / (|x_i| + eps)`` and the unit mean m, the tangent is
    ``tau = sum w_i (u_i - (u_i . m) m)`` and the result
    ``(m cos s + tau sin s / s) sum w_i |x_i|`` where ``s = |tau| + eps``.
    """
    import torch

    lengths = dots.diagonal().clamp_min(0.0).sqrt()
    shrink = 1.0 / (lengths + _NO_LENGTH)
    unit_dots = dots * shrink[:, None] * shrink
    shares = torch.tensor(weights, dtype=torch.float64)
    mean_length = sqrt(max(0.0, float(shares @ unit_dots @ shares)))
    if mean_length < _NO_LENGTH:
        if len(weights) > 2 and float(lengths.max()) > _NO_LENGTH:
            raise OptionError(
                "the weighted directions of the models cancel, so they have no mean",
                where=where,
                fix="Change a weight, or choose another method",
            )
        return weights
    mean = shares / mean_length
    tangent = shares - float(shares @ (unit_dots @ mean)) * mean
    angle = sqrt(max(0.0, float(tangent @ unit_dots @ tangent))) + _NO_LENGTH
    direction = mean * cos(angle) + tangent * (sin(angle) / angle)
    factors: list[float] = (direction * shrink * float(shares @ lengths)).tolist()
    return factors


METHOD = MergingMethod(
    id="multislerp",
    title="Multi-SLERP",
    family="merging",
    group="direct",
    cost="N n",
    summary="Averages the directions of several models on a sphere, and their lengths apart.",
    source="mergekit 0.1.5",
    options=MultislerpOptions,
    expert_options=MultislerpExpertOptions,
    needs=Needs(base=False, takes_base=True),
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    merge=merge,
)
