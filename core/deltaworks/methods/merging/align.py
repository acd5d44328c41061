"""Align, then average: undo the order of neurons before the mean.

Source: Ainsworth et al., "Git Re-Basin", arXiv:2209.04836, weight matching. Departures:
neurons of the blocks' width, of feed-forward layers, and whole groups of heads are put
in order; the inside of heads, which positions fix, stays. The first order of the width
comes from embeddings and head alone, and rounds are few and fixed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltaworks.methods.merging.combination import combine
from deltaworks.methods.merging.kernel import checked, flat_experts
from deltaworks.methods.merging.surveys import pooled_for
from deltaworks.methods.merging_record import MergeSurvey, MergingMethod
from deltaworks.methods.method import Needs
from deltaworks.numerics.assignment import assign
from deltaworks.options import Options

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs

Places = npt.NDArray[np.int64]
Orders = dict[str, list[Places]]
"""Of every kind of neuron, for every expert: which of its neurons stands where."""

_BLOCK = re.compile(r"\.(\d+)\.")
_WIDTH = "width"


class AlignOptions(Options):
    """Options of align, then average."""


class AlignExpertOptions(Options):
    """All experts count the same."""


@dataclass(frozen=True, slots=True)
class Axis:
    """What stands along one axis of a tensor.

    Args:
        kind: neurons that share an order; empty where the order is fixed.
        units: how many there are; each is a run of numbers of equal length.
    """

    kind: str = ""
    units: int = 0


_FIXED = Axis()


def axes_of(name: str, shape: tuple[int, ...], config: Any) -> tuple[Axis, ...]:
    """Tell what stands along the axes of a tensor, by names as Llama and its kin have them.

    Returns:
        One axis each; all fixed where the name is not known.
    """
    found = _BLOCK.search(name)
    block = found.group(1) if found else ""
    if re.search(r"embed_tokens\.weight$|lm_head\.weight$", name) and len(shape) == 2:
        return _FIXED, Axis(_WIDTH, shape[1])
    if len(shape) == 1 and re.search(r"norm\.weight$", name) and "self_attn" not in name:
        return (Axis(_WIDTH, shape[0]),)
    if len(shape) != 2 or not block:
        return (_FIXED,) * len(shape)
    heads = int(config.get("num_key_value_heads") or config.get("num_attention_heads") or 1)
    inner = Axis(f"mlp {block}", shape[0])
    if re.search(r"mlp\.(gate|up)_proj\.weight$", name):
        return inner, Axis(_WIDTH, shape[1])
    if name.endswith("mlp.down_proj.weight"):
        return Axis(_WIDTH, shape[0]), Axis(f"mlp {block}", shape[1])
    if re.search(r"self_attn\.[qkv]_proj\.weight$", name) and shape[0] % heads == 0:
        return Axis(f"heads {block}", heads), Axis(_WIDTH, shape[1])
    if name.endswith("self_attn.o_proj.weight") and shape[1] % heads == 0:
        return Axis(_WIDTH, shape[0]), Axis(f"heads {block}", heads)
    return _FIXED, _FIXED


def merge(inputs: MergeInputs, options: AlignOptions) -> Tensor:
    """Average the experts, each in the order of the first one's neurons."""
    orders = pooled_for(inputs, SURVEYS, options)
    flat = flat_experts(inputs)
    shape = inputs.spec.shape
    axes = axes_of(inputs.spec.name, shape, inputs.config)
    aligned = [
        _in_order(tensor.view(shape), axes, orders, index).reshape(-1)
        for index, tensor in enumerate(flat)
    ]
    mean = combine(aligned, [1.0 / len(aligned)] * len(aligned), aligned[0])
    return checked(mean, inputs)


def _in_order(
    tensor: Tensor, axes: tuple[Axis, ...], orders: Orders, index: int, *, but: str = ""
) -> Tensor:
    """Put the neurons along every axis in order, except for one kind."""
    import torch

    for number, axis in enumerate(axes):
        if index == 0 or axis.kind in {"", but} or axis.kind not in orders:
            continue
        size = tensor.shape[number] // axis.units
        units = torch.from_numpy(orders[axis.kind][index - 1])
        every = (units[:, None] * size + torch.arange(size)).reshape(-1)
        tensor = tensor.index_select(number, every)
    return tensor


def _likeness(
    inputs: MergeInputs, *, wanted: str, only_fixed: bool
) -> dict[str, list[npt.NDArray[np.float64]]]:
    """Give dot products of every neuron of the first expert with every one of the others.

    Args:
        inputs: of one tensor; ``pooled`` holds the orders found so far.
        wanted: ``width``, or ``inner`` for all others.
        only_fixed: look only at tensors whose other axis has a fixed order.
    """
    orders: Orders = inputs.pooled or {}
    shape = inputs.spec.shape
    axes = axes_of(inputs.spec.name, shape, inputs.config)
    found: dict[str, list[npt.NDArray[np.float64]]] = {}
    for number, axis in enumerate(axes):
        if not axis.kind or (axis.kind == _WIDTH) != (wanted == _WIDTH):
            continue
        if only_fixed and any(one.kind for place, one in enumerate(axes) if place != number):
            continue
        views = []
        for index, expert in enumerate(inputs.experts):
            tensor = _in_order(expert.tensor.float(), axes, orders, index, but=axis.kind)
            moved = tensor.movedim(number, 0)
            views.append(moved.reshape(axis.units, -1).double().numpy())
        found[axis.kind] = [views[0] @ other.T for other in views[1:]]
    return found


def _add(total: Any, found: Any) -> Any:
    for kind, gains in found.items():
        if kind in total:
            total[kind] = [one + other for one, other in zip(total[kind], gains, strict=True)]
        else:
            total[kind] = gains
    return total


def _assigned(found: Any, options: Any, before: Any) -> Orders:  # noqa: ARG001
    return {**(before or {}), **{kind: [assign(g) for g in gains] for kind, gains in found.items()}}


def _first_width(inputs: MergeInputs, options: Any) -> Any:  # noqa: ARG001
    return _likeness(inputs, wanted=_WIDTH, only_fixed=True)


def _inner(inputs: MergeInputs, options: Any) -> Any:  # noqa: ARG001
    return _likeness(inputs, wanted="inner", only_fixed=False)


def _width(inputs: MergeInputs, options: Any) -> Any:  # noqa: ARG001
    return _likeness(inputs, wanted=_WIDTH, only_fixed=False)


SURVEYS = tuple(
    MergeSurvey(gather=gather, finish=_assigned, add=_add)
    for gather in (_first_width, _inner, _width, _inner)
)

METHOD = MergingMethod(
    id="align",
    title="Align, then average",
    family="merging",
    group="permutation",
    cost="N n width, four surveys and an assignment of all neurons in each",
    summary="Puts the neurons of models without a common base in one order, then averages.",
    source="arXiv:2209.04836",
    options=AlignOptions,
    expert_options=AlignExpertOptions,
    needs=Needs(base=False, min_experts=2),
    evidence="Built from the paper's idea, from memory; checked by undoing known orders.",
    merge=merge,
    surveys=SURVEYS,
    working_bytes=48,
)
