"""Arcee fusion: take only the changes that matter most.

Source: arcee-ai/mergekit 0.1.5, method ``arcee_fusion``. Departures: importance is computed
in float64; quartiles of more than a million scores come from a sample drawn from the job's
seed, where mergekit draws from a global generator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deltaworks.methods.merging.kernel import checked, flat_base, is_finite, not_finite, one_expert
from deltaworks.methods.method import MergingMethod, Needs
from deltaworks.numerics.chunks import row_spans, spans
from deltaworks.numerics.seeds import raw_words
from deltaworks.options import Options

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.method import MergeInputs, TensorSpec
    from deltaworks.numerics.selection import Floats

_LEAST_CHANCE = 1e-8
_MOST_EXACT = 1_000_000


class ArceeFusionOptions(Options):
    """There are none."""


class ArceeFusionExpertOptions(Options):
    """The other model has no options of its own."""


def merge(inputs: MergeInputs, options: ArceeFusionOptions) -> Tensor:  # noqa: ARG001
    """Take the other model where ``|delta| KL(row)`` is above its outlier threshold.

    The threshold is ``median + 1.5 (third quartile - first quartile)`` of the tensor.

    Raises:
        NotFiniteError: an input holds NaN or infinity.
    """
    import torch

    base, other = flat_base(inputs), one_expert(inputs, "arcee-fusion")
    out = torch.empty(base.numel())
    _score(base, other, inputs.spec, out)
    if not is_finite(out):
        raise not_finite(inputs.spec.name)
    least = threshold(out.numpy(), inputs.spec) if len(out) else 0.0
    for span in spans(len(out)):
        piece, start = out[span], base[span].float()
        is_taken = piece >= least
        piece.copy_(torch.where(is_taken, start + (other[span].float() - start), start))
    return checked(out, inputs)


def _score(base: Tensor, other: Tensor, spec: TensorSpec, out: Tensor) -> None:
    """Write each weight's importance: its change times the divergence of its row."""
    import torch

    cols = spec.shape[-1] if spec.shape else 1
    if len(out) == 0:
        return
    shape = (len(out) // cols, cols)
    starts, ends, scores = base.view(shape), other.view(shape), out.view(shape)
    for span in row_spans(*shape):
        start, end = starts[span].double(), ends[span].double()
        chance = torch.softmax(end, -1) + _LEAST_CHANCE
        before = torch.softmax(start, -1) + _LEAST_CHANCE
        divergence = (chance * (chance / before).log_()).sum(-1, keepdim=True)
        scores[span] = ((end - start).abs_() * divergence).float()


def threshold(scores: Floats, spec: TensorSpec) -> float:
    """Give ``median + 1.5 (q3 - q1)``, quartiles at floored places of the sorted scores.

    Args:
        scores: flat, at least one.
        spec: of the tensor; decides the sample of more than a million scores.
    """
    if len(scores) > _MOST_EXACT:
        words = raw_words(spec.seed, spec.name, _MOST_EXACT, "quartiles")
        scores = scores[(words % np.uint64(len(scores))).astype(np.int64)]
    places = [int(share * (len(scores) - 1)) for share in (0.25, 0.5, 0.75)]
    first, median, third = np.partition(scores, places)[places].tolist()
    return float(median + 1.5 * (third - first))


METHOD = MergingMethod(
    id="arcee-fusion",
    title="Arcee fusion",
    family="merging",
    group="magnitude",
    cost="n log n",
    summary="Takes from the other model only the changes that stand out by importance.",
    source="mergekit 0.1.5",
    options=ArceeFusionOptions,
    expert_options=ArceeFusionExpertOptions,
    needs=Needs(min_experts=1, max_experts=1),
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    is_random=True,
    merge=merge,
)
