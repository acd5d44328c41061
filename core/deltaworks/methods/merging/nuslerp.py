"""NuSLERP: slerp between two models by weight, for tensors, rows or columns.

Source: arcee-ai/mergekit 0.1.5, method ``nuslerp``. Lengths are not restored. mergekit's
``nuslerp_row_wise`` takes columns; the option here says what happens.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deltaworks.errors import OptionError
from deltaworks.methods.merging.fields import weight_field
from deltaworks.methods.merging.pieces import (
    Delta,
    Doubles,
    combination,
    dot_products,
    row_parts,
)
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Needs
from deltaworks.numerics.chunks import row_spans
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs
    from deltaworks.numerics.rounding import Floats
    from deltaworks.numerics.stored import Stored

Vectors = Literal["tensor", "rows", "columns"]

_NO_WEIGHT = 1e-6
_NO_LENGTH = 1e-7
_NEARLY_PARALLEL = 1e-16


class NuslerpOptions(Options):
    """Options of NuSLERP."""

    vectors: Vectors = option(
        "tensor",
        title="Vectors",
        help="What goes along an arc by itself.",
        labels={
            "tensor": "The whole tensor",
            "rows": "Each row",
            "columns": "Each column",
        },
        sweepable=True,
        sweep=("tensor", "rows", "columns"),
    )


class NuslerpExpertOptions(Options):
    """Options of each expert."""

    weight: float = weight_field("Share of this model; the place on the arc is the second's share.")


def stream(inputs: StreamInputs, options: NuslerpOptions) -> Fill:
    """Go from the first expert to the second, from the base where there is one.

    Raises:
        OptionError: there are more than two experts.
    """
    if len(inputs.experts) == 1:
        return inputs.experts[0].into
    if len(inputs.experts) > 2:
        raise OptionError(
            f"nuslerp goes from one model to one other, not through {len(inputs.experts)}",
            where=inputs.spec.name,
            fix="Choose two experts, or multi-SLERP",
        )
    vectors = options.vectors if len(inputs.spec.shape) > 1 else "tensor"
    rows, cols = _matrix(inputs.spec.shape, vectors)
    dots = _Dots(inputs, vectors, rows, cols).sums()
    keep, take = _factors(dots, _position(inputs))
    if vectors == "tensor":
        return combination(inputs, [float(keep[0]), float(take[0])], inputs.base)
    return _mixed(inputs, keep, take, cols, by_row=vectors == "rows")


def _mixed(inputs: StreamInputs, keep: Floats, take: Floats, cols: int, *, by_row: bool) -> Fill:
    """Give both experts by factors of their own for every row or column."""
    exact = inputs.arithmetic
    rows = inputs.room.rows(2)
    one, two = (Delta(inputs.base, expert, exact, rows) for expert in inputs.experts)

    def fill(span: slice, out: Floats) -> None:
        start, other = rows[:2, : len(out)]
        if inputs.base is not None:
            inputs.base.into(span, start)
        one.onto(span, start, out)
        two.onto(span, start, other)
        for row, part, columns in row_parts(span, cols):
            at: Any = row if by_row else columns
            np.multiply(out[part], keep[at], out=out[part])
            np.multiply(other[part], take[at], out=other[part])
        np.add(out, other, out=out)
        exact.round(out)
        if inputs.base is not None:
            np.add(out, start, out=out)
            exact.round(out)

    return fill


def _matrix(shape: tuple[int, ...], vectors: Vectors) -> tuple[int, int]:
    """See a tensor as a matrix whose rows, columns or whole are the vectors."""
    if vectors == "tensor":
        return prod(shape), 1
    if vectors == "rows":
        return prod(shape[:-1]), shape[-1]
    return shape[0], prod(shape[1:])


def _position(inputs: StreamInputs) -> float:
    first, second = (float(own.weight) for own in inputs.options)
    total = first + second
    return 0.5 if abs(total) < _NO_WEIGHT else second / total


class _Dots:
    """First·first, second·second and first·second of both experts' vectors, in float64."""

    def __init__(self, inputs: StreamInputs, vectors: Vectors, rows: int, cols: int) -> None:
        self._inputs, self._vectors, self._rows, self._cols = inputs, vectors, rows, cols

    def sums(self) -> Doubles:
        """Give ``(3, 1)`` for the tensor, ``(3, rows)`` or ``(3, cols)``."""
        inputs = self._inputs
        if self._vectors == "tensor":
            found = dot_products(inputs.experts, inputs.base, inputs.arithmetic)
            return np.array([[found[0, 0]], [found[1, 1]], [found[0, 1]]])
        by_row = self._vectors == "rows"
        total = np.zeros((3, self._rows if by_row else self._cols))
        for span in row_spans(self._rows, self._cols):
            left, right = (self._read(expert, span) for expert in inputs.experts)
            for number, product in enumerate((left * left, right * right, left * right)):
                if by_row:
                    total[number, span] = product.sum(axis=1)
                else:
                    total[number] += product.sum(axis=0)
        return total

    def _read(self, expert: Stored, span: slice) -> Doubles:
        flat = slice(span.start * self._cols, span.stop * self._cols)
        buffers = np.empty((2, flat.stop - flat.start), dtype=np.float32)
        delta = Delta(self._inputs.base, expert, self._inputs.arithmetic, buffers).piece(flat)
        return delta.astype(np.float64).reshape(span.stop - span.start, self._cols)


def _factors(dots: Doubles, t: float) -> tuple[Floats, Floats]:
    """Give the factors of both models; a straight line where they are parallel."""
    first, second, both = dots
    lengths = np.maximum(np.sqrt(first), _NO_LENGTH) * np.maximum(np.sqrt(second), _NO_LENGTH)
    cosine = np.clip(both / lengths, -1.0, 1.0)
    is_parallel = 1.0 - cosine * cosine <= _NEARLY_PARALLEL
    theta = np.arccos(cosine)
    sine = np.where(is_parallel, 1.0, np.sin(theta))
    keep = np.where(is_parallel, 1.0 - t, np.sin((1.0 - t) * theta) / sine)
    take = np.where(is_parallel, t, np.sin(t * theta) / sine)
    return keep.astype(np.float32), take.astype(np.float32)


METHOD = MergingMethod(
    id="nuslerp",
    title="NuSLERP",
    family="merging",
    group="direct",
    cost="n",
    summary="Slerp between two models by weight, for whole tensors, rows or columns.",
    source="mergekit 0.1.5",
    options=NuslerpOptions,
    expert_options=NuslerpExpertOptions,
    needs=Needs(base=False, takes_base=True, min_experts=2, max_experts=2),
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    stream=stream,
    working_bytes=0,
)
