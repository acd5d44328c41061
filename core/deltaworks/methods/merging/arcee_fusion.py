"""Arcee fusion: take only the changes that matter most.

Source: arcee-ai/mergekit 0.1.5, method ``arcee_fusion``. Departures: importance is computed
in float64; quartiles of more than a million scores come from a sample drawn from the job's
seed, where mergekit draws from a global generator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deltaworks.methods.merging.pieces import Delta, Doubles, base_of, one_of
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Needs
from deltaworks.methods.streaming import not_finite
from deltaworks.numerics.chunks import row_spans
from deltaworks.numerics.rounding import is_finite
from deltaworks.numerics.seeds import raw_words
from deltaworks.options import Options

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs
    from deltaworks.methods.method import TensorSpec
    from deltaworks.numerics.selection import Floats
    from deltaworks.numerics.stored import Stored

_LEAST_CHANCE = 1e-8
_MOST_EXACT = 1_000_000
_PIECE = 1 << 15


class ArceeFusionOptions(Options):
    """There are none."""


class ArceeFusionExpertOptions(Options):
    """The other model has no options of its own."""


def stream(inputs: StreamInputs, options: ArceeFusionOptions) -> Fill:  # noqa: ARG001
    """Take the other model where ``|delta| KL(row)`` is above its outlier threshold.

    The threshold is ``median + 1.5 (third quartile - first quartile)`` of the tensor.

    Raises:
        NotFiniteError: an input holds NaN or infinity.
    """
    base, other, exact = base_of(inputs), one_of(inputs, "arcee-fusion"), inputs.arithmetic
    scores = np.empty(len(base), dtype=np.float32)
    _score(base, other, inputs.spec, scores)
    if not is_finite(scores):
        raise not_finite(inputs.spec.name)
    least = np.float32(threshold(scores, inputs.spec)) if len(scores) else np.float32(0.0)
    (start_row,) = inputs.room.rows(1)
    delta = Delta(base, other, exact, start_row[None])

    def fill(span: slice, out: Floats) -> None:
        start = start_row[: len(out)]
        base.into(span, start)
        delta.onto(span, start, out)
        np.multiply(out, scores[span] >= least, out=out)
        np.add(out, start, out=out)
        exact.round(out)

    return fill


def _score(base: Stored, other: Stored, spec: TensorSpec, out: Floats) -> None:
    """Write each weight's importance: its change times the divergence of its row."""
    cols = spec.shape[-1] if spec.shape else 1
    if len(out) == 0:
        return
    scores = out.reshape(-1, cols)
    buffer = np.empty(0, dtype=np.float32)
    for span in row_spans(*scores.shape, _PIECE):
        flat = slice(span.start * cols, span.stop * cols)
        if len(buffer) < flat.stop - flat.start:
            buffer = np.empty(flat.stop - flat.start, dtype=np.float32)
        start, end = (_doubles(one, flat, buffer).reshape(-1, cols) for one in (base, other))
        chance, before = _chances(end), _chances(start)
        divergence = (chance * np.log(chance / before)).sum(axis=-1, keepdims=True)
        scores[span] = np.abs(end - start) * divergence


def _doubles(stored: Stored, span: slice, buffer: Floats) -> Doubles:
    values = buffer[: span.stop - span.start]
    stored.into(span, values)
    return values.astype(np.float64)


def _chances(rows: Doubles) -> Doubles:
    """Softmax of every row, none of them zero."""
    powers: Doubles = np.exp(rows - rows.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    powers += _LEAST_CHANCE
    return powers


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
    stream=stream,
    working_bytes=4,
)
