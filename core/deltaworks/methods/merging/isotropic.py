"""Iso-C and Iso-CTS: merged deltas whose singular values are all alike.

Source: Marczak et al., "No Task Left Behind", arXiv:2502.04959. Departures: a matrix with
fewer rows or columns than experts is averaged; directions without length, which a
decomposition may fill up at will, are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.fields import scale_field
from deltaworks.methods.merging.spectral import (
    WORKING_BYTES,
    Deltas,
    merge_spectrally,
    orthogonal_product,
)
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.numerics.low_rank import thin_svd, top_svd
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs


class IsoCOptions(Options):
    """Options of Iso-C."""

    scale: float = scale_field(
        "Multiplies the merged delta before it is added to the base.", sweep=(1.0, 1.5, 2.0)
    )


class IsoCtsOptions(IsoCOptions):
    """Options of Iso-CTS."""

    common: float = option(
        0.8,
        ge=0.0,
        le=1.0,
        unit="fraction",
        title="Common share",
        help="Share of the singular vectors that comes from the sum of all deltas. The rest "
        "is shared out to what each expert has besides. 1 is Iso-C.",
        step=0.05,
        sweepable=True,
        sweep=(0.6, 0.8, 0.9),
    )


class IsoExpertOptions(Options):
    """All experts count the same."""


def merge_common(inputs: MergeInputs, options: IsoCOptions) -> Tensor:
    """Level the singular values of the summed deltas."""
    return merge_spectrally(inputs, level_sum, options.scale)


def merge_common_and_own(inputs: MergeInputs, options: IsoCtsOptions) -> Tensor:
    """Level the sum's main directions and each expert's own ones."""
    return merge_spectrally(
        inputs, lambda deltas: level_sum_and_own(deltas, options.common), options.scale
    )


def level_sum(deltas: Deltas) -> Tensor:
    """Give ``mean(sigma) U V'`` of the sum, the mean over the full rank."""
    svd = thin_svd(deltas.summed())
    return (svd.left @ svd.right.T).mul_(float(svd.sigma.sum()) / deltas.rank)


def level_sum_and_own(deltas: Deltas, common: float) -> Tensor:
    """Give ``mean(sigma) U V'`` of the sum's triples and each expert's beside them.

    Args:
        deltas: of n experts, of rank r at most.
        common: share of the sum's triples; ``round((r - int(common r)) / n)`` triples
            an expert are its own.
    """
    rank, n_experts = deltas.rank, len(deltas)
    own = round((rank - int(rank * common)) / n_experts)
    shared = rank - own * n_experts
    if own == 0:
        return level_sum(deltas)
    svd = thin_svd(deltas.summed())
    basis, total = svd.left[:, :shared].clone(), float(svd.sigma[:shared].sum())
    left, right = [], []
    for index in range(n_experts):
        delta = deltas[index]
        beside = top_svd(delta - basis @ (basis.T @ delta), own)
        left.append(beside.left[:, :own].clone())
        right.append(beside.right[:, :own].clone())
        total += float(beside.sigma[:own].sum())
    left.append(basis)
    right.append(svd.right[:, :shared])
    return orthogonal_product(left, right).mul_(total / rank)


_SUM_BYTES = 40
"""A weight: the sum and one decomposition in float64; measured at 2048 x 2048."""

_EVIDENCE = "Built from formulas read in published code; not compared with its outputs."

ISO_C = MergingMethod(
    id="iso-c",
    title="Iso-C",
    family="merging",
    group="spectral",
    cost="1 decomposition",
    summary="Sums the experts' changes and makes all directions of the sum equally strong.",
    source="arXiv:2502.04959",
    decomposes=True,
    options=IsoCOptions,
    expert_options=IsoExpertOptions,
    evidence=_EVIDENCE,
    merge=merge_common,
    working_bytes=_SUM_BYTES,
)

ISO_CTS = MergingMethod(
    id="iso-cts",
    title="Iso-CTS",
    family="merging",
    group="spectral",
    cost="N + 3 decompositions",
    summary="Iso-C that leaves room for directions which only one expert has.",
    source="arXiv:2502.04959",
    decomposes=True,
    options=IsoCtsOptions,
    expert_options=IsoExpertOptions,
    evidence=_EVIDENCE,
    merge=merge_common_and_own,
    working_bytes=WORKING_BYTES,
)
