"""CART: the mean of the models, and each one's main directions away from it.

Source: Choi et al., "Revisiting Weight Averaging for Model Merging", arXiv:2412.12153; the
formula from memory. No base is needed: changes are counted from the mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.combination import combine
from deltaworks.methods.merging.fields import scale_field
from deltaworks.methods.merging.kernel import checked, flat_experts, is_finite
from deltaworks.methods.merging.spectral import WORKING_BYTES
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Needs
from deltaworks.methods.streaming import not_finite
from deltaworks.numerics.low_rank import thin_svd
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs


class CartOptions(Options):
    """Options of CART."""

    rank: float = option(
        0.08,
        ge=0.0,
        le=1.0,
        unit="fraction",
        title="Rank",
        help="Share of the full rank that each model's difference from the mean keeps. 0 is "
        "the plain mean.",
        step=0.02,
        sweepable=True,
        sweep=(0.04, 0.08, 0.16),
    )
    scale: float = scale_field(
        "Multiplies the summed differences before they are added to the mean.",
        sweep=(0.5, 1.0, 1.5),
    )


class CartExpertOptions(Options):
    """All experts count the same."""


def merge(inputs: MergeInputs, options: CartOptions) -> Tensor:
    """Give ``mean + scale * sum of SVD_k(expert - mean)``; what is no matrix is averaged."""
    experts = flat_experts(inputs)
    mean = combine(experts, [1.0 / len(experts)] * len(experts), experts[0])
    shape = inputs.spec.shape
    if len(shape) != 2 or not min(shape) or not options.rank:
        return checked(mean, inputs)
    if not all(is_finite(expert.float()) for expert in experts):
        raise not_finite(inputs.spec.name)
    rank = max(1, round(min(shape) * options.rank))
    centre, merged = mean.view(shape), mean.view(shape).clone()
    for expert in experts:
        svd = thin_svd(expert.view(shape).float() - centre)
        left, right = svd.left[:, :rank] * svd.sigma[:rank], svd.right[:, :rank]
        merged.add_(left @ right.T, alpha=options.scale)
    return checked(merged, inputs)


METHOD = MergingMethod(
    id="cart",
    title="CART",
    family="merging",
    group="spectral",
    cost="N decompositions",
    summary="Adds to the mean of the models each one's main directions away from it.",
    source="arXiv:2412.12153",
    decomposes=True,
    options=CartOptions,
    expert_options=CartExpertOptions,
    needs=Needs(base=False),
    evidence="Built from memory of the paper; not compared with outputs.",
    merge=merge,
    working_bytes=WORKING_BYTES,
)
