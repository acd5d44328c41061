"""TSV-Merge: a share of the singular vectors of each expert, made orthogonal to the others'.

Source: Gargiulo et al., "Task Singular Vectors", arXiv:2412.00081. Departures: a matrix
with fewer rows or columns than experts is averaged; directions without length, which a
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
from deltaworks.numerics.low_rank import top_svd
from deltaworks.options import Options

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs


class TsvMergeOptions(Options):
    """Options of TSV-Merge."""

    scale: float = scale_field(
        "Multiplies the merged delta before it is added to the base.", sweep=(0.7, 1.0, 1.3)
    )


class TsvMergeExpertOptions(Options):
    """All experts count the same."""


def merge(inputs: MergeInputs, options: TsvMergeOptions) -> Tensor:
    """Put the experts' largest singular vectors together without interference."""
    return merge_spectrally(inputs, merge_matrix, options.scale)


def merge_matrix(deltas: Deltas) -> Tensor:
    """Give ``U diag(sigma) V'`` of every expert's largest ``int(r / n)`` triples."""
    import torch

    kept = deltas.rank // len(deltas)
    left, sigma, right = [], [], []
    for index in range(len(deltas)):
        svd = top_svd(deltas[index], kept)
        left.append(svd.left[:, :kept].clone())
        sigma.append(svd.sigma[:kept])
        right.append(svd.right[:, :kept].clone())
    return orthogonal_product(left, right, torch.cat(sigma))


METHOD = MergingMethod(
    id="tsv-merge",
    title="TSV-Merge",
    family="merging",
    group="spectral",
    cost="N + 2 decompositions",
    summary="Keeps the main singular vectors of each expert and makes them orthogonal.",
    source="arXiv:2412.00081",
    decomposes=True,
    options=TsvMergeOptions,
    expert_options=TsvMergeExpertOptions,
    evidence="Built from formulas read in published code; not compared with its outputs.",
    merge=merge,
    working_bytes=WORKING_BYTES,
)
