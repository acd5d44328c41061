"""RAM and RAM+: average where experts overlap, keep whole what only one changed.

Source: arcee-ai/mergekit 0.1.5, methods ``ram`` and ``ramplus_tl``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.kernel import (
    checked,
    flat_base,
    flat_experts,
    is_finite,
    not_finite,
)
from deltaworks.methods.method import MergingMethod
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.gram import difference
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from deltaworks.methods.method import MergeInputs


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


def merge_ram(inputs: MergeInputs, options: RamOptions) -> Tensor:
    """Average shared changes; add unique ones as they are."""
    return _merge(inputs, options.epsilon, [1.0] * len(inputs.experts))


def merge_plus(inputs: MergeInputs, options: RamPlusOptions) -> Tensor:
    """Average shared changes; add unique ones, scaled up by the expert's overlap."""
    base, experts = flat_base(inputs), flat_experts(inputs)
    shared, unique = [0] * len(experts), [0] * len(experts)
    for _, changes, _ in _pieces(base, experts, inputs.spec.name):
        is_unique = _counts(changes, options.epsilon) == 1
        for number, change in enumerate(changes):
            counts = change.abs() > options.epsilon
            n_unique = int((counts & is_unique).sum())
            unique[number] += n_unique
            shared[number] += int(counts.sum()) - n_unique
    boosts = [
        1.0 + options.r * min(both / max(float(alone), options.epsilon or 1.0), options.alpha)
        for both, alone in zip(shared, unique, strict=True)
    ]
    return _merge(inputs, options.epsilon, boosts)


def _merge(inputs: MergeInputs, epsilon: float, boosts: list[float]) -> Tensor:
    """Sum changes over their number; unique ones times their expert's boost.

    Raises:
        NotFiniteError: an input holds NaN, which no comparison would notice.
    """
    import torch

    base, experts = flat_base(inputs), flat_experts(inputs)
    out = torch.zeros(base.numel())
    for span, changes, start in _pieces(base, experts, inputs.spec.name):
        counts, piece = _counts(changes, epsilon), out[span]
        is_unique = counts == 1
        for change, boost in zip(changes, boosts, strict=True):
            counted = torch.where(change.abs() > epsilon, change, torch.zeros_like(change))
            if boost != 1.0:
                counted = torch.where(is_unique, counted * boost, counted)
            piece.add_(counted)
        piece.div_(counts.clamp_min(1)).add_(start)
    return checked(out, inputs)


def _pieces(
    base: Tensor, experts: list[Tensor], name: str
) -> Iterator[tuple[slice, list[Tensor], Tensor]]:
    """Give every piece's place, changes and base."""
    for span in spans(base.numel()):
        start = base[span].float()
        changes = [difference(expert[span], start) for expert in experts]
        if not all(is_finite(change) for change in changes):
            raise not_finite(name)
        yield span, changes, start


def _counts(changes: list[Tensor], epsilon: float) -> Tensor:
    """Count, weight by weight, the experts that changed it."""
    import torch

    counts = torch.zeros(len(changes[0]), dtype=torch.int32)
    for change in changes:
        counts += change.abs() > epsilon
    return counts


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
    merge=merge_ram,
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
    merge=merge_plus,
)
