"""Passthrough: take one model's tensors as they are, to stack layers of several models.

Source: arcee-ai/mergekit 0.1.5, method ``passthrough``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deltaworks.errors import OptionError
from deltaworks.methods.merging.fields import scale_field
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Needs
from deltaworks.options import Options

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs
    from deltaworks.numerics.rounding import Floats


class PassthroughOptions(Options):
    """There are none."""


class PassthroughExpertOptions(Options):
    """Options of the model."""

    scale: float = scale_field("Multiplies the tensors; 0 silences what they write.")


def stream(inputs: StreamInputs, options: PassthroughOptions) -> Fill:  # noqa: ARG001
    """Copy the only model's numbers, times its scale.

    Raises:
        OptionError: there are several models for one tensor.
    """
    if len(inputs.experts) != 1:
        raise OptionError(
            f"passthrough takes one model's tensor, not one of {len(inputs.experts)}",
            where=inputs.spec.name,
            fix="Give every layer to one model with slices.",
        )
    (stored,), (own,) = inputs.experts, inputs.options
    scale = np.float32(own.scale)

    def fill(span: slice, out: Floats) -> None:
        stored.into(span, out)
        if scale != 1.0:
            np.multiply(out, scale, out=out)
            inputs.arithmetic.round(out)

    return fill


METHOD = MergingMethod(
    id="passthrough",
    title="Passthrough",
    family="merging",
    summary="Takes layers as they are, to stack those of several models on each other.",
    source="mergekit 0.1.5",
    options=PassthroughOptions,
    expert_options=PassthroughExpertOptions,
    needs=Needs(base=False, max_experts=1),
    evidence="Compared with outputs of mergekit 0.1.5.",
    stream=stream,
    is_elementwise=True,
    group="direct",
    cost="n",
)
