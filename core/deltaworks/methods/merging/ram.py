"""RAM and RAM+: average where experts overlap, keep whole what only one changed.

Source: arcee-ai/mergekit 0.1.5, methods ``ram`` and ``ramplus_tl``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deltaworks.methods.merging.pieces import Delta, base_of
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.streaming import not_finite
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.rounding import is_finite
from deltaworks.numerics.selection import Mask
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs
    from deltaworks.numerics.rounding import Floats

Counts = npt.NDArray[np.uint16]

_PIECE = 1 << 15


class RamOptions(Options):
    """Options of RAM."""

    epsilon: float = option(
        1e-5,
        ge=0.0,
        le=1.0,
        title="Smallest change",
        help="Changes of at most this size do not count, and are dropped.",
        advanced=True,
        sweepable=True,
        sweep=(1e-6, 1e-5, 1e-4),
    )


class RamPlusOptions(RamOptions):
    """Options of RAM+."""

    r: float = option(
        0.1,
        ge=0.0,
        le=10.0,
        title="Boost (r)",
        help="How much what only one expert changed is scaled up, times its overlap.",
        step=0.05,
        sweepable=True,
        sweep=(0.0, 0.1, 0.5),
    )
    alpha: float = option(
        0.2,
        ge=0.0,
        le=10.0,
        title="Largest overlap (alpha)",
        help="Overlap, shared over unique changes of an expert, counts up to this.",
        step=0.05,
        sweepable=True,
        sweep=(0.2, 0.5, 1.0),
    )


class RamExpertOptions(Options):
    """All experts count the same."""


def stream_ram(inputs: StreamInputs, options: RamOptions) -> Fill:
    """Average shared changes; add unique ones as they are."""
    return _stream(inputs, options.epsilon, None)


def stream_plus(inputs: StreamInputs, options: RamPlusOptions) -> Fill:
    """Average shared changes; add unique ones, scaled up by the expert's overlap."""
    n_experts = len(inputs.experts)
    shared, unique = [0] * n_experts, [0] * n_experts
    rows = np.empty((n_experts + 1, _PIECE), dtype=np.float32)
    reader = _Changes(inputs, options.epsilon)
    for span in spans(len(inputs), _PIECE):
        start, changes = rows[0, : span.stop - span.start], rows[1:, : span.stop - span.start]
        counted, counts = reader.read(span, start, changes)
        is_unique = counts == 1
        for number, counts_here in enumerate(counted):
            n_unique = int(np.count_nonzero(counts_here & is_unique))
            unique[number] += n_unique
            shared[number] += int(np.count_nonzero(counts_here)) - n_unique
    least = np.float32(options.epsilon or 1.0)
    overlaps = [
        np.float32(both) / max(np.float32(alone), least)
        for both, alone in zip(shared, unique, strict=True)
    ]
    r, alpha = np.float32(options.r), np.float32(options.alpha)
    boosts = [np.float32(1.0) + r * min(overlap, alpha) for overlap in overlaps]
    return _stream(inputs, options.epsilon, boosts)


def _stream(inputs: StreamInputs, epsilon: float, boosts: list[np.float32] | None) -> Fill:
    """Sum changes over their number; unique ones times their expert's boost.

    With boosts, mergekit's sum is in float32, whatever the inputs are.

    Raises:
        NotFiniteError: an input holds NaN, which no comparison would notice.
    """
    n_experts = len(inputs.experts)
    exact, reader = inputs.arithmetic, _Changes(inputs, epsilon)
    rows = inputs.room.rows(n_experts + 2)

    def fill(span: slice, out: Floats) -> None:
        start, factors = rows[:2, : len(out)]
        changes = rows[2 : 2 + n_experts, : len(out)]
        counted, counts = reader.read(span, start, changes)
        out.fill(0.0)
        np.copyto(factors, np.maximum(counts, 1))
        for number, (change, here) in enumerate(zip(changes, counted, strict=True)):
            np.multiply(change, here, out=change)
            np.divide(change, factors, out=change)
            exact.round(change)
            if boosts is not None:
                np.multiply(change, boosts[number], out=change, where=counts == 1)
            np.add(out, change, out=out)
        if boosts is None:
            exact.round(out)
        np.add(out, start, out=out)
        if boosts is None:
            exact.round(out)

    return fill


class _Changes:
    """All experts' changes of a piece, and which of them count."""

    def __init__(self, inputs: StreamInputs, epsilon: float) -> None:
        self._base, self._name = base_of(inputs), inputs.spec.name
        self._least = inputs.arithmetic.number(epsilon)
        none = np.empty((0, 0), dtype=np.float32)
        self._deltas = [
            Delta(self._base, expert, inputs.arithmetic, none) for expert in inputs.experts
        ]

    def read(self, span: slice, start: Floats, changes: Floats) -> tuple[list[Mask], Counts]:
        """Write base and changes; give what counts of each, and by how many experts."""
        self._base.into(span, start)
        counts = np.zeros(len(start), dtype=np.uint16)
        counted = []
        for delta, change in zip(self._deltas, changes, strict=True):
            delta.onto(span, start, change)
            if not is_finite(change):
                raise not_finite(self._name)
            counts_here = np.abs(change) > self._least
            counts += counts_here
            counted.append(counts_here)
        return counted, counts


METHOD = MergingMethod(
    id="ram",
    title="RAM",
    family="merging",
    group="magnitude",
    cost="N n",
    summary="Averages changes that experts share, and keeps those of one expert whole.",
    source="mergekit 0.1.5",
    options=RamOptions,
    expert_options=RamExpertOptions,
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    stream=stream_ram,
    working_bytes=0,
    n_buffers=6,
    is_elementwise=True,
)

PLUS = MergingMethod(
    id="ramplus-tl",
    title="RAM+ TL",
    family="merging",
    group="magnitude",
    cost="N n",
    summary="RAM that scales up what only one expert changed, by how much it overlaps.",
    source="mergekit 0.1.5",
    options=RamPlusOptions,
    expert_options=RamExpertOptions,
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    stream=stream_plus,
    working_bytes=0,
    n_buffers=6,
)
