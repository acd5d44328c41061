"""Multi-SLERP: the weighted mean of directions on a sphere, in one step.

Source: arcee-ai/mergekit 0.1.5, method ``multislerp``. The whole tensor is one vector.
Departure: vectors without length and directions that cancel do not stop a merge of zeros.
"""

from __future__ import annotations

from math import cos, sin, sqrt
from typing import TYPE_CHECKING

import numpy as np

from deltaworks.errors import OptionError
from deltaworks.methods.merging.fields import weight_field
from deltaworks.methods.merging.kernel import weight_sum
from deltaworks.methods.merging.pieces import Doubles, combination, dot_products
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Needs
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs

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


def stream(inputs: StreamInputs, options: MultislerpOptions) -> Fill:
    """Average directions in the tangent of their mean, lengths by weight.

    Raises:
        OptionError: weights sum to zero, or three or more directions cancel.
    """
    if len(inputs.experts) == 1:
        return inputs.experts[0].into
    weights = [float(own.weight) for own in inputs.options]
    if options.normalize:
        total = weight_sum(weights, inputs.spec.name)
        weights = [weight / total for weight in weights]
    dots = dot_products(inputs.experts, inputs.base, inputs.arithmetic)
    return combination(inputs, _factors(dots, weights, inputs.spec.name), inputs.base)


def _factors(dots: Doubles, weights: list[float], where: str) -> list[float]:
    """Give the factor of each vector, from all dot products.

    With ``u_i = x_i / (|x_i| + eps)`` and the unit mean m, the tangent is
    ``tau = sum w_i (u_i - (u_i . m) m)`` and the result
    ``(m cos s + tau sin s / s) sum w_i |x_i|`` where ``s = |tau| + eps``.
    """
    lengths = np.sqrt(np.maximum(dots.diagonal(), 0.0))
    shrink = 1.0 / (lengths + _NO_LENGTH)
    unit_dots = dots * shrink[:, None] * shrink
    shares = np.array(weights)
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
    stream=stream,
    working_bytes=0,
)
