"""Trimmed, elected and selected deltas, in mergekit's order of operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_NO_LENGTH = 1e-7
_NO_WEIGHT = 1e-8
_NO_ENERGY = 1e-6
_LEAST_CHANCE = 1e-8

Trim = Callable[["Tensor", Any], "Tensor"]
"""Flat magnitudes and the expert's options to the places that are kept."""


def ties(base: Tensor | None, experts: list[Tensor], options: Any, each: Sequence[Any]) -> Tensor:
    """Keep the largest, elect signs, sum what agrees."""
    return _merged(base, experts, options, each, _largest, elects=True)


def breadcrumbs(
    base: Tensor | None, experts: list[Tensor], options: Any, each: Sequence[Any]
) -> Tensor:
    """Keep the large without the largest, and sum."""
    return _merged(base, experts, options, each, _between, elects=False)


def breadcrumbs_ties(
    base: Tensor | None, experts: list[Tensor], options: Any, each: Sequence[Any]
) -> Tensor:
    """Keep the large without the largest, elect signs, sum what agrees."""
    return _merged(base, experts, options, each, _between, elects=True)


def _largest(sizes: Tensor, own: Any) -> Tensor:
    """Of equal magnitudes, keep those that torch's sort puts first: it is not stable."""
    import torch

    return torch.argsort(sizes, descending=True)[: max(1, int(own.density * len(sizes)))]


def _between(sizes: Tensor, own: Any) -> Tensor:
    import torch

    count = len(sizes)
    kept = int(own.density * count)
    start = max(0, count - kept - int(own.gamma * count))
    return torch.sort(sizes)[1][start : start + kept]


def _trimmed(delta: Tensor, own: Any, trim: Trim, *, rescales: bool) -> Tensor:
    """Zero what is not kept; scale the rest to the sum of magnitudes before."""
    import torch

    if own.density >= 1.0:
        return delta
    mask = torch.zeros(delta.numel(), dtype=delta.dtype)
    mask[trim(delta.abs().view(-1).float(), own)] = 1
    kept = delta * mask.view(delta.shape)
    if rescales:
        before, after = delta.abs().sum(), kept.abs().sum()
        if before > _NO_LENGTH and after > _NO_LENGTH:
            kept = kept * (before / after)
    return kept


def _merged(
    base: Tensor | None,
    experts: list[Tensor],
    options: Any,
    each: Sequence[Any],
    trim: Trim,
    *,
    elects: bool,
) -> Tensor:
    """Trim, weigh, elect, sum, normalize, scale and add, rounding at every step."""
    import torch

    assert base is not None
    stack = torch.stack(
        [
            _trimmed(expert - base, own, trim, rescales=options.rescale)
            for expert, own in zip(experts, each, strict=True)
        ]
    )
    weights = torch.tensor([float(own.weight) for own in each], dtype=stack.dtype)
    weights = weights.view(-1, *([1] * base.dim()))
    stack = stack * weights
    if elects:
        agrees = torch.sign(stack) == _majority(stack)
        total, divisor = (stack * agrees).sum(0), (weights * agrees).sum(0)
        divisor = torch.where(divisor == 0, torch.ones_like(divisor), divisor)
    else:
        total, divisor = stack.sum(0), weights.sum(0)
        divisor = torch.where(divisor.abs() < _NO_WEIGHT, torch.ones_like(divisor), divisor)
    if options.normalize:
        total = total / divisor
    if options.scale != 1.0:
        total = total * options.scale
    return base + total


def _majority(stack: Tensor) -> Tensor:
    """Elect signs; a sum of exactly zero elects plus."""
    return (stack.sum(0) >= 0).to(stack.dtype) * 2 - 1


def sce(
    base: Tensor | None,
    experts: list[Tensor],
    options: Any,
    each: Sequence[Any],  # noqa: ARG001
) -> Tensor:
    """Select by variance, weigh by mean squares, sum what agrees."""
    import torch

    assert base is not None
    stack = torch.stack([expert - base for expert in experts])
    if options.select_topk < 1.0:
        variance = torch.var(stack, dim=0, unbiased=False)
        mask = torch.zeros_like(variance).view(-1)
        kept = int(torch.count_nonzero(variance) * options.select_topk)
        if kept > 0:
            mask[torch.topk(variance.view(-1), k=kept, largest=True)[1]] = 1
        stack = stack * mask.view(base.shape)
    agrees = (torch.sign(stack) == _majority(stack)).to(stack.dtype)
    shares = torch.mean(stack.reshape(len(experts), -1) ** 2, dim=1)
    total = shares.sum()
    is_nothing = bool(total.abs() < _NO_ENERGY)
    shares = torch.ones_like(shares) / len(experts) if is_nothing else shares / total
    shares = shares.view(-1, *([1] * base.dim()))
    divisor = (shares * agrees).sum(0).clamp(min=_NO_ENERGY)
    return base + (stack * shares * agrees).sum(0) / divisor


def ram(
    base: Tensor | None,
    experts: list[Tensor],
    options: Any,
    each: Sequence[Any],  # noqa: ARG001
) -> Tensor:
    """Average shared changes, keep unique ones."""
    import torch

    assert base is not None
    changes, _, _, counts = _overlap(base, experts, options.epsilon)
    return base + torch.stack([change / counts for change in changes]).sum(0)


def ram_plus(
    base: Tensor | None,
    experts: list[Tensor],
    options: Any,
    each: Sequence[Any],  # noqa: ARG001
) -> Tensor:
    """Average shared changes, boost unique ones; the sum is in float32."""
    import torch

    assert base is not None
    changes, counted, is_unique, counts = _overlap(base, experts, options.epsilon)
    parts = []
    for change, mine in zip(changes, counted, strict=True):
        unique = (mine & is_unique).sum().float()
        shared = (mine & ~is_unique).sum().float()
        overlap = shared / unique.clamp(min=options.epsilon)
        boost = (1 + options.r * overlap.clamp(0, options.alpha)).view([1] * base.dim() or [1])
        averaged = (change / counts).float()
        parts.append(torch.where(is_unique, (change * boost).view(base.shape), averaged))
    return base + torch.stack(parts).sum(0)


def _overlap(
    base: Tensor, experts: list[Tensor], epsilon: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Give counted changes, where each counts, where one alone does, and how many do."""
    import torch

    stack = torch.stack([expert - base for expert in experts])
    counted = stack.abs() > epsilon
    counts = counted.sum(0)
    return stack * counted, counted, counts == 1, counts.clamp(min=1)


def arcee_fusion(
    base: Tensor | None,
    experts: list[Tensor],
    options: Any,  # noqa: ARG001
    each: Sequence[Any],  # noqa: ARG001
) -> Tensor:
    """Take the changes that stand out; the sum is in float32."""
    import torch

    assert base is not None
    (other,) = experts
    chance = torch.softmax(other, -1) + _LEAST_CHANCE
    before = torch.softmax(base, -1) + _LEAST_CHANCE
    divergence = (chance * torch.log(chance / before)).sum(-1, keepdim=True)
    scores = (other - base).abs() * divergence
    ranked = torch.sort(scores.view(-1))[0]
    first, median, third = (ranked[int(q * (len(ranked) - 1))] for q in (0.25, 0.5, 0.75))
    is_taken = scores >= median + 1.5 * (third - first)
    return base + (other - base) * is_taken.float()
