"""Arcs and means of directions, in mergekit's order of operations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from deltaworks.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

_NO_WEIGHT = 1e-6
_NO_LENGTH = 1e-7
_TINY = 1e-8
_PARALLEL = 1e-16
_NO_DIVISOR = 1e-6


def nuslerp(
    base: Tensor | None, experts: list[Tensor], options: Any, each: Sequence[Any]
) -> Tensor:
    """Go from one model to another along arcs; straight where they are parallel."""
    import torch

    first, second = (float(own.weight) for own in each)
    t = 0.5 if abs(first + second) < _NO_WEIGHT else second / (first + second)
    one, two = experts if base is None else [expert - base for expert in experts]
    axis = 0 if options.vectors == "columns" and one.dim() > 1 else -1
    a, b = (one.flatten(), two.flatten()) if options.vectors == "tensor" else (one, two)
    unit_a = a / torch.norm(a, dim=axis, keepdim=True).clamp(min=_NO_LENGTH)
    unit_b = b / torch.norm(b, dim=axis, keepdim=True).clamp(min=_NO_LENGTH)
    cosine = (unit_a * unit_b).sum(dim=axis, keepdim=True).clamp(-1, 1)
    theta = torch.acos(cosine)
    is_parallel = (1 - cosine * cosine) <= _PARALLEL
    sine = torch.where(is_parallel, torch.ones_like(theta), torch.sin(theta))
    arc = (torch.sin((1 - t) * theta) * a + torch.sin(t * theta) * b) / sine
    merged = torch.where(is_parallel, (1 - t) * a + t * b, arc).view(one.shape)
    return merged if base is None else base + merged


def multislerp(
    base: Tensor | None, experts: list[Tensor], options: Any, each: Sequence[Any]
) -> Tensor:
    """Average directions in the tangent of their mean.

    Raises:
        OptionError: three or more directions cancel.
    """
    import torch

    stack = torch.stack([x if base is None else x - base for x in experts])
    weights = torch.tensor([float(own.weight) for own in each], dtype=stack.dtype)
    if options.normalize:
        weights = weights / weights.sum()
    column = weights.view(-1, 1)
    flat = stack.flatten(1)
    lengths = torch.norm(flat, dim=-1, keepdim=True)
    units = flat / (lengths + _TINY)
    mean = (units * column).sum(0)
    length = torch.norm(mean)
    if length < _TINY:
        if len(experts) != 2:
            raise OptionError(
                "the weighted directions of the models cancel, so they have no mean",
                fix="Change a weight, or choose another method",
            )
        merged = (flat * column).sum(0)
    else:
        mean = mean / length
        dots = (units * mean).sum(-1, keepdim=True)
        tangent = ((units - dots * mean) * column).sum(0)
        angle = torch.norm(tangent) + _TINY
        merged = mean * torch.cos(angle) + tangent * (torch.sin(angle) / angle)
        merged = merged * (weights * lengths.squeeze(-1)).sum()
    merged = merged.view(experts[0].shape)
    return merged if base is None else merged + base


def karcher(
    base: Tensor | None,  # noqa: ARG001
    experts: list[Tensor],
    options: Any,
    each: Sequence[Any],  # noqa: ARG001
) -> Tensor:
    """Find the Karcher mean of directions by steps along the tangent."""
    import torch

    dtype, flat = experts[0].dtype, [expert.flatten() for expert in experts]
    lengths = [torch.linalg.norm(one.float()) for one in flat]
    units = [
        (one.float() / length).to(dtype)
        for one, length in zip(flat, lengths, strict=True)
        if length.item() > options.tol
    ]
    if not units:
        return torch.zeros_like(experts[0])
    share = 1.0 / len(units)
    mean = _start(units, share, options.tol)
    for _ in range(options.max_iter):
        step = torch.zeros_like(mean)
        for unit in units:
            cosine = torch.dot(unit, mean).clamp(-1.0, 1.0)
            theta = torch.acos(cosine)
            if theta.item() >= options.tol:
                step = step + share * (theta / torch.sin(theta)) * (unit - cosine * mean)
        turn = torch.linalg.norm(step.float())
        if turn.item() < options.tol:
            break
        mean = torch.cos(turn) * mean + torch.sin(turn) * (step / turn)
        mean = mean / torch.linalg.norm(mean.float())
    length = (torch.stack(lengths) * torch.full((len(lengths),), 1.0 / len(lengths))).sum()
    return (mean * length.to(dtype)).to(dtype).view(experts[0].shape)


def _start(units: list[Tensor], share: float, tol: float) -> Tensor:
    """Give the normalized mean, or the first direction where they cancel."""
    import torch

    mean = torch.zeros_like(units[0])
    for unit in units:
        mean = mean + share * unit
    length = torch.linalg.norm(mean.float())
    return mean / length if length.item() >= tol else units[0].clone()


def model_stock(
    base: Tensor | None,
    experts: list[Tensor],
    options: Any,
    each: Sequence[Any],  # noqa: ARG001
) -> Tensor:
    """Go from the base towards the mean, as far as the changes agree."""
    import torch

    assert base is not None
    if len(experts) < 2:
        return base.clone()
    by_row = options.filter_wise and base.dim() > 1
    rows = [one if by_row else one.reshape(1, -1) for one in (base, *experts)]
    start, ends = rows[0], rows[1:]
    changes = [end - start for end in ends]
    cosines = []
    for one, two in combinations(changes, 2):
        lengths = torch.norm(one, dim=-1) * torch.norm(two, dim=-1)
        dots = (one * two).sum(-1)
        cosines.append((dots / lengths.clamp(min=_NO_DIVISOR)).clamp(-1, 1))
    cosine = torch.stack(cosines).mean(0).unsqueeze(-1)
    divisor = 1 + (len(ends) - 1) * cosine
    t = (len(ends) * cosine) / divisor
    t = torch.where(divisor.abs() < _NO_DIVISOR, torch.zeros_like(t), t)
    total = ends[0]
    for end in ends[1:]:
        total = total + end
    return (t * (total / len(ends)) + (1 - t) * start).view(base.shape)
