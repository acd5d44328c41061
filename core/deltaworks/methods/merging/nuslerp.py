"""NuSLERP: slerp between two models by weight, for tensors, rows or columns.

Source: arcee-ai/mergekit 0.1.5, method ``nuslerp``. Lengths are not restored. mergekit's
``nuslerp_row_wise`` takes columns; the option here says what happens.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Literal

from deltaworks.errors import OptionError
from deltaworks.methods.merging.fields import weight_field
from deltaworks.methods.merging.kernel import checked, flat_base, flat_experts
from deltaworks.methods.method import MergingMethod, Needs
from deltaworks.numerics.chunks import row_spans
from deltaworks.numerics.gram import difference
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.method import MergeInputs

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


def merge(inputs: MergeInputs, options: NuslerpOptions) -> Tensor:
    """Go from the first expert to the second, from the base where there is one.

    Raises:
        OptionError: there are more than two experts.
    """
    import torch

    experts = flat_experts(inputs)
    if len(experts) == 1:
        return checked(experts[0].float().clone(), inputs)
    if len(experts) > 2:
        raise OptionError(
            f"nuslerp goes from one model to one other, not through {len(experts)}",
            where=inputs.spec.name,
            fix="Choose two experts, or multi-SLERP",
        )
    vectors = options.vectors if len(inputs.spec.shape) > 1 else "tensor"
    shape = _matrix(inputs.spec.shape, vectors)
    origin = None if inputs.base is None else flat_base(inputs).view(shape)
    one, two = (expert.view(shape) for expert in experts)
    out = torch.empty(shape)
    keep, take = _factors(_dots(one, two, origin, vectors), _position(inputs))
    for span in row_spans(*shape):
        start = None if origin is None else origin[span]
        piece = out[span]
        torch.mul(difference(one[span], start), _part(keep, span), out=piece)
        piece.add_(difference(two[span], start) * _part(take, span))
        if start is not None:
            piece.add_(start)
    return checked(out, inputs)


def _matrix(shape: tuple[int, ...], vectors: Vectors) -> tuple[int, int]:
    """See a tensor as a matrix whose rows, columns or whole are the vectors."""
    if vectors == "tensor":
        return prod(shape), 1
    if vectors == "rows":
        return prod(shape[:-1]), shape[-1]
    return shape[0], prod(shape[1:])


def _position(inputs: MergeInputs) -> float:
    first, second = (float(expert.options.weight) for expert in inputs.experts)
    total = first + second
    return 0.5 if abs(total) < _NO_WEIGHT else second / total


def _dots(one: Tensor, two: Tensor, origin: Tensor | None, vectors: Vectors) -> Tensor:
    """Give first·first, second·second and first·second in float64.

    Returns:
        ``(3, 1, 1)`` for the tensor, ``(3, rows, 1)`` or ``(3, 1, cols)``.
    """
    import torch

    rows, cols = one.shape
    shape = {"tensor": (1, 1), "rows": (rows, 1), "columns": (1, cols)}[vectors]
    total = torch.zeros(3, *shape, dtype=torch.float64)
    axes = {"tensor": (0, 1), "rows": (1,), "columns": (0,)}[vectors]
    for span in row_spans(rows, cols):
        start = None if origin is None else origin[span]
        left = difference(one[span], start).double()
        right = difference(two[span], start).double()
        place = span if vectors == "rows" else slice(0, 1)
        for number, product in enumerate((left * left, right * right, left * right)):
            total[number, place] += product.sum(dim=axes, keepdim=True)
    return total


def _factors(dots: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """Give the factors of both models; a straight line where they are parallel."""
    import torch

    first, second, both = dots
    lengths = first.sqrt().clamp_min(_NO_LENGTH) * second.sqrt().clamp_min(_NO_LENGTH)
    cosine = (both / lengths).clamp(-1.0, 1.0)
    is_parallel = 1.0 - cosine * cosine <= _NEARLY_PARALLEL
    theta = cosine.acos()
    sine = torch.where(is_parallel, torch.ones_like(theta), theta.sin())
    keep = torch.where(is_parallel, 1.0 - t, ((1.0 - t) * theta).sin() / sine)
    take = torch.where(is_parallel, t, (t * theta).sin() / sine)
    return keep.float(), take.float()


def _part(factors: Tensor, span: slice) -> Tensor:
    return factors[span] if len(factors) > 1 else factors


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
    merge=merge,
)
