"""Model stock: pull the mean of the experts towards the base by the angle between them.

Source: Jang et al., "Model Stock", arXiv:2403.19522; arcee-ai/mergekit 0.1.5, method
``model_stock``. Departure: where only one expert has a tensor, the base is kept.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from deltaworks.methods.merging.kernel import checked, flat_base, flat_experts
from deltaworks.methods.method import MergingMethod, Needs
from deltaworks.numerics.chunks import row_spans
from deltaworks.numerics.gram import difference, gram
from deltaworks.numerics.matrices import as_stack
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.method import MergeInputs

_SMALLEST_PRODUCT = 1e-6
_SMALLEST_DIVISOR = 1e-6


class ModelStockOptions(Options):
    """Options of model stock."""

    filter_wise: bool = option(
        False,
        title="Row by row",
        help="Measure the angle for every row of a matrix instead of once a tensor.",
        sweepable=True,
        sweep=(False, True),
    )


class ModelStockExpertOptions(Options):
    """All experts count the same."""


def merge(inputs: MergeInputs, options: ModelStockOptions) -> Tensor:
    """Give ``t mean(experts) + (1 - t) base`` with t from the mean cosine of the deltas."""
    import torch

    base, experts = flat_base(inputs), flat_experts(inputs)
    out = torch.zeros(base.numel())
    if len(out) == 0:
        return checked(out, inputs)
    stack = as_stack(inputs.spec.shape)
    shape = (stack.count * stack.rows, stack.cols) if options.filter_wise else (len(out), 1)
    start, rows, merged = base.view(shape), [each.view(shape) for each in experts], out.view(shape)
    share = _row_shares(start, rows) if options.filter_wise else _share(gram(experts, base))
    for span in row_spans(*shape):
        here = share[span, None].float() if options.filter_wise else share.float()
        piece = merged[span]
        for expert in rows:
            piece.add_(expert[span])
        piece.mul_(here / len(experts)).add_(start[span].float() * (1.0 - here))
    return checked(out, inputs)


def _row_shares(base: Tensor, experts: list[Tensor]) -> Tensor:
    """Give t for every row, ``(rows,)``."""
    import torch

    shares = torch.empty(len(base), dtype=torch.float64)
    for span in row_spans(*base.shape):
        deltas = torch.stack([difference(expert[span], base[span]) for expert in experts]).double()
        shares[span] = _share(torch.einsum("irc,jrc->rij", deltas, deltas))
    return shares


def _share(dots: Tensor) -> Tensor:
    """Give t from dot products of the deltas, ``(..., n, n)`` to ``(...,)``.

    ``c`` is the mean cosine of all pairs, ``t = n c / (1 + (n - 1) c)``; 0 where that
    has no value.
    """
    import torch

    n_experts = dots.shape[-1]
    lengths = dots.diagonal(dim1=-2, dim2=-1).clamp_min(0.0).sqrt()
    cosine = torch.zeros(dots.shape[:-2], dtype=torch.float64)
    pairs = list(combinations(range(n_experts), 2))
    for one, two in pairs:
        product = (lengths[..., one] * lengths[..., two]).clamp_min(_SMALLEST_PRODUCT)
        cosine += (dots[..., one, two] / product).clamp(-1.0, 1.0)
    cosine /= max(1, len(pairs))
    divisor = 1.0 + (n_experts - 1) * cosine
    share = n_experts * cosine / divisor
    return torch.where(divisor.abs() < _SMALLEST_DIVISOR, torch.zeros_like(share), share)


METHOD = MergingMethod(
    id="model-stock",
    title="Model stock",
    family="merging",
    group="direct",
    cost="N² n",
    summary="Averages fine-tunes of one task, nearer to the base the more they disagree.",
    source="arXiv:2403.19522, mergekit 0.1.5",
    options=ModelStockOptions,
    expert_options=ModelStockExpertOptions,
    needs=Needs(min_experts=2),
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    merge=merge,
)
