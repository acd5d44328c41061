"""STAR: each expert's strong directions, scaled up to its whole strength, averaged.

Source: Lee et al., "STAR: Spectral Truncation and Rescale", arXiv:2502.10339; truncation
and factor as read in published code, averaging from memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.fields import scale_field
from deltaworks.methods.merging.spectral import WORKING_BYTES, Deltas, merge_spectrally
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.numerics.low_rank import thin_svd
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs


class StarOptions(Options):
    """Options of STAR."""

    kept: float = option(
        40.0,
        gt=0.0,
        le=100.0,
        unit="percent",
        title="Kept strength",
        help="The largest singular values that make up this share of their sum are kept. "
        "100 keeps all: then STAR is the plain mean.",
        step=5.0,
        sweepable=True,
        sweep=(20.0, 40.0, 60.0),
    )
    scale: float = scale_field(
        "Multiplies the averaged delta before it is added to the base.", sweep=(1.0, 1.5, 2.0)
    )


class StarExpertOptions(Options):
    """All experts count the same."""


def merge(inputs: MergeInputs, options: StarOptions) -> Tensor:
    """Average the truncated and rescaled changes."""
    return merge_spectrally(
        inputs, lambda deltas: average_strong(deltas, options.kept), options.scale
    )


def average_strong(deltas: Deltas, kept: float) -> Tensor:
    """Give the mean of ``U diag(sigma) V'`` cut to a share of the nuclear norm.

    Args:
        deltas: of a matrix.
        kept: percent of the sum of singular values.
    """
    import torch

    total = torch.zeros(deltas.base.shape)
    for index in range(len(deltas)):
        svd = thin_svd(deltas[index])
        if not len(svd.sigma):
            continue
        sums = svd.sigma.double().cumsum(0)
        # The first place whose sum reaches the share; rounding must not push it one on.
        rank = int(torch.searchsorted(sums, kept / 100 * float(sums[-1]) * (1 - 1e-9))) + 1
        rank = min(rank, len(sums))
        factor = float(sums[-1] / sums[rank - 1])
        total += (svd.left[:, :rank] * (svd.sigma[:rank] * factor)) @ svd.right[:, :rank].T
    return total.div_(len(deltas))


METHOD = MergingMethod(
    id="star",
    title="STAR",
    family="merging",
    group="spectral",
    cost="N decompositions",
    summary="Keeps each expert's strong directions, scaled up to its whole strength.",
    source="arXiv:2502.10339",
    decomposes=True,
    options=StarOptions,
    expert_options=StarExpertOptions,
    evidence="Built from formulas read in published code, the averaging from memory; not "
    "compared with outputs.",
    merge=merge,
    working_bytes=WORKING_BYTES,
)
