"""KnOTS: turns all experts' changes into one space, and merges there by TIES.

Source: Stoica et al., "Model merging with SVD to tie the Knots", arXiv:2410.19735; as read
in published code. Biases are merged as vectors, by their mean, not as a column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltaworks.methods.merging.fields import density_field, scale_field
from deltaworks.methods.merging.kernel import flat_base, flat_experts, is_finite
from deltaworks.methods.merging.spectral import WORKING_BYTES, Deltas, merge_spectrally
from deltaworks.methods.merging.surveys import places, pooled_for, rank_surveys
from deltaworks.methods.merging.ties_global import (
    cut_places,
    elect_and_average,
    kept_ranks,
    signs_of_sums,
    with_majority,
)
from deltaworks.methods.merging_record import MergeSurvey, MergingMethod
from deltaworks.methods.streaming import not_finite
from deltaworks.numerics.low_rank import thin_svd
from deltaworks.options import Options

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs


class KnotsOptions(Options):
    """Options of KnOTS."""

    density: float = density_field(
        0.2, "Share of each model's numbers in the common space that is kept, over all layers."
    )
    scale: float = scale_field(
        "Multiplies the merged delta before it is added to the base.",
        default=0.6,
        sweep=(0.5, 0.6, 1.0),
    )


class KnotsExpertOptions(Options):
    """All experts count the same."""


def merge(inputs: MergeInputs, options: KnotsOptions) -> Tensor:
    """Merge a matrix in the common space; what is no matrix is averaged."""
    pooled = pooled_for(inputs, SURVEYS, options)

    def merge_matrix(deltas: Deltas) -> Tensor:
        left, parts = tie(deltas)
        cuts = [pooled["cut"][place][0] for place in cut_places(inputs, pooled)]
        return left @ elect_and_average(parts, cuts, pooled["majority"])

    return merge_spectrally(inputs, merge_matrix, options.scale)


def tie(deltas: Deltas) -> tuple[Tensor, list[Tensor]]:
    """Decompose all changes side by side.

    Returns:
        U, ``(out, rank)``, and of every expert ``diag(sigma) V_i'``, ``(rank, in)``:
        ``U`` times it is the expert's change.
    """
    import torch

    cols = deltas.base.shape[1]
    svd = thin_svd(torch.cat([deltas[index] for index in range(len(deltas))], 1))
    scaled = svd.right * svd.sigma
    return svd.left, [
        scaled[index * cols : (index + 1) * cols].T.contiguous() for index in range(len(deltas))
    ]


def _parts(inputs: MergeInputs) -> list[npt.NDArray[np.float32]]:
    shape = inputs.spec.shape
    base, experts = flat_base(inputs), flat_experts(inputs)
    if len(shape) != 2 or min(shape) < len(experts):
        return [np.empty(0, dtype=np.float32) for _ in experts]
    if not is_finite(base.float()) or not all(is_finite(expert.float()) for expert in experts):
        raise not_finite(inputs.spec.name)
    _, parts = tie(Deltas(base.view(shape), [expert.view(shape) for expert in experts]))
    return [np.asarray(part.numpy()).reshape(-1) for part in parts]


def _magnitudes(inputs: MergeInputs, options: Any) -> list[npt.NDArray[np.float32]]:  # noqa: ARG001
    return [np.abs(part) for part in _parts(inputs)]


def _sign_sum(inputs: MergeInputs, options: Any) -> int:  # noqa: ARG001
    cuts = [inputs.pooled["cut"][place] for place in places(inputs)]
    return signs_of_sums(_parts(inputs), [cut[0] if cut else 0.0 for cut in cuts])


SURVEYS = (
    *rank_surveys("cut", _magnitudes, kept_ranks),
    MergeSurvey(gather=_sign_sum, finish=with_majority),
)

METHOD = MergingMethod(
    id="knots",
    title="KnOTS",
    family="merging",
    group="lora",
    cost="4 decompositions of (out, N in), three surveys",
    summary="Turns adapters into one common space, and lets the signs vote there.",
    source="arXiv:2410.19735",
    decomposes=True,
    options=KnotsOptions,
    expert_options=KnotsExpertOptions,
    evidence="Built from formulas read in published code; not compared with its outputs.",
    merge=merge,
    surveys=SURVEYS,
    working_bytes=2 * WORKING_BYTES,
)
