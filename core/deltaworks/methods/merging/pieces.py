"""What methods that merge piece by piece share: inputs, deltas, dot products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deltaworks.errors import MismatchError, OptionError
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.rounding import Arithmetic, widen
from deltaworks.numerics.stored import Floats, Stored

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs

Doubles = npt.NDArray[np.float64]

_DOTS_PIECE = 1 << 15


def base_of(inputs: StreamInputs) -> Stored:
    """Give the base.

    Raises:
        MismatchError: it is missing.
    """
    if inputs.base is None:
        raise MismatchError(
            "the base has no such tensor, and the method needs it",
            where=inputs.spec.name,
            fix="Choose a base with the same tensors as the experts",
        )
    return inputs.base


def one_of(inputs: StreamInputs, method: str) -> Stored:
    """Give the only expert.

    Raises:
        OptionError: there is another number of them.
    """
    if len(inputs.experts) != 1:
        raise OptionError(
            f"{method} goes from the base to one other model, not to {len(inputs.experts)}",
            where=inputs.spec.name,
            fix="Choose one expert, or another method",
        )
    return inputs.experts[0]


@dataclass(frozen=True, slots=True)
class Delta:
    """An expert less the base, piece by piece.

    Args:
        base: None for zero.
        expert: as long.
        arithmetic: where the difference is rounded.
        buffers: two, of the longest piece that is asked for.
    """

    base: Stored | None
    expert: Stored
    arithmetic: Arithmetic
    buffers: Floats

    def __len__(self) -> int:
        return len(self.expert)

    def piece(self, span: slice) -> Floats:
        """Give the delta of a span."""
        delta, start = self.buffers[:2, : span.stop - span.start]
        if self.base is not None:
            self.base.into(span, start)
        return self.onto(span, start, delta)

    def onto(self, span: slice, start: Floats, delta: Floats) -> Floats:
        """Write the delta of a span, where the base is at hand."""
        self.expert.into(span, delta)
        if self.base is not None:
            np.subtract(delta, start, out=delta)
            self.arithmetic.round(delta)
        return delta

    def sample(self, step: int) -> Floats:
        """Give every ``step``-th number."""
        every = slice(None, None, step)
        delta = _read(self.expert, every)
        if self.base is not None:
            delta -= _read(self.base, every)
            self.arithmetic.round(delta)
        return delta


def _read(stored: Stored, part: slice) -> Floats:
    words = np.ascontiguousarray(stored.words[part])
    out = np.empty(len(words), dtype=np.float32)
    widen(words, stored.dtype, out)
    if stored.loads is not None:
        stored.loads.round(out)
    return out


def dot_products(
    vectors: Sequence[Stored], origin: Stored | None, arithmetic: Arithmetic
) -> Doubles:
    """Give ``G[i, j] = (x_i - o) . (x_j - o)``, ``(n, n)``.

    Products of float32 numbers are exact in float64, so nearly parallel vectors keep
    their angle. Differences to the origin are rounded as everywhere.
    """
    n_vectors = len(vectors)
    total = np.zeros((n_vectors, n_vectors))
    buffers = np.empty((2, _DOTS_PIECE), dtype=np.float32)
    wide = np.empty((n_vectors, _DOTS_PIECE))
    deltas = [Delta(origin, vector, arithmetic, buffers) for vector in vectors]
    for span in spans(len(vectors[0]), _DOTS_PIECE):
        delta, start = buffers[:, : span.stop - span.start]
        if origin is not None:
            origin.into(span, start)
        rows = wide[:, : span.stop - span.start]
        for row, one in zip(rows, deltas, strict=True):
            np.copyto(row, one.onto(span, start, delta))
        for i in range(n_vectors):
            for j in range(i + 1):
                total[i, j] += np.einsum("i,i", rows[i], rows[j])
    upper = np.triu_indices(n_vectors, 1)
    total[upper] = total.T[upper]
    return total


def combination(inputs: StreamInputs, factors: Sequence[float], origin: Stored | None) -> Fill:
    """Give ``o + sum f_i (x_i - o)``, for results that lie in the span of their inputs.

    Args:
        inputs: with the vectors.
        factors: one a vector, computed from their dot products.
        origin: o; None for zero.
    """
    exact = inputs.arithmetic
    start_row, piece_row = inputs.room.rows(2)
    deltas = [Delta(origin, expert, exact, start_row[None]) for expert in inputs.experts]
    small = [np.float32(factor) for factor in factors]

    def fill(span: slice, out: Floats) -> None:
        start, piece = start_row[: len(out)], piece_row[: len(out)]
        if origin is not None:
            origin.into(span, start)
        out.fill(0.0)
        for delta, factor in zip(deltas, small, strict=True):
            delta.onto(span, start, piece)
            np.multiply(piece, factor, out=piece)
            np.add(out, piece, out=out)
        exact.round(out)
        if origin is not None:
            np.add(out, start, out=out)
            exact.round(out)

    return fill


def row_parts(span: slice, cols: int) -> Iterator[tuple[int, slice, slice]]:
    """Cut a span of a flat matrix where its rows end.

    Yields:
        The row, the part of the span, the columns.
    """
    at = span.start
    while at < span.stop:
        row, first = divmod(at, cols)
        end = min(span.stop, (row + 1) * cols)
        part = slice(at - span.start, end - span.start)
        yield row, part, slice(first, first + end - at)
        at = end
