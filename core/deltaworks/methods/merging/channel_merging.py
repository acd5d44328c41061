"""Channel merging: in each output channel, only experts that changed alike are merged.

Source: Zhang et al., "Channel Merging", arXiv:2412.15283. The paper's abstract and
summaries by others were read; similarity, number of groups and the rule inside a group are
our choice.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from deltaworks.methods.merging.deltas import chosen_expert, expert_field, flat_deltas, onto_base
from deltaworks.methods.merging.fields import density_field, scale_field
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.numerics.channel_groups import Labels, group_rows
from deltaworks.numerics.chunks import row_spans
from deltaworks.numerics.seeds import rng_for
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs
    from deltaworks.methods.method import TensorSpec

Floats = npt.NDArray[np.float32]
Rule = Literal["mean", "ties", "dare", "sum"]

_TABLES = re.compile(r"embed|lm_head|wte|wpe|\bhead\b")
_MATRIX, _STACK = 2, 3


class ChannelOptions(Options):
    """Options of channel merging."""

    groups: int = option(
        2,
        ge=1,
        le=64,
        title="Groups",
        help="Variants of each channel that are kept. As many as experts lose nothing; 1 is a "
        "plain merge.",
        sweepable=True,
        sweep=(1, 2, 3),
    )
    geometry: Literal["cosine", "euclidean"] = option(
        "cosine",
        title="Similarity",
        help="Cosine compares the directions of changes; Euclidean their lengths as well.",
        labels={"cosine": "Cosine", "euclidean": "Euclidean"},
        sweepable=True,
        sweep=("cosine", "euclidean"),
    )
    rule: Rule = option(
        "mean",
        title="Rule inside a group",
        help="How the changes of a group become one.",
        labels={"mean": "Mean", "ties": "TIES", "dare": "DARE", "sum": "Sum"},
        sweepable=True,
        sweep=("mean", "ties", "dare", "sum"),
    )
    density: float = density_field(0.5, "Share of each change that TIES and DARE keep.")
    scale: float = scale_field("Multiplies the change of a group of several experts.")


class ChannelSwitchOptions(ChannelOptions):
    """Options of channel merging where one expert's model is wanted."""

    expert: int = expert_field()


class ChannelExpertOptions(Options):
    """All experts count the same."""


def group_and_merge(
    deltas: Floats, options: ChannelOptions, spec: TensorSpec
) -> tuple[Floats, Labels]:
    """Group the experts in every row and merge each group.

    Args:
        deltas: ``(experts, rows, cols)`` float32, finite.
        options: how.
        spec: name and seed, for DARE.

    Returns:
        ``(groups, rows, cols)`` merged changes, zero where a group is empty; and labels
        ``(rows, experts)``. A group of one expert has its change as it is.
    """
    experts, rows, cols = deltas.shape
    groups = min(options.groups, experts)
    labels = np.empty((rows, experts), dtype=np.uint8)
    merged = np.zeros((groups, rows, cols), dtype=np.float32)
    for span in row_spans(rows, cols * experts):
        labels[span] = group_rows(deltas[:, span], groups, cosine=options.geometry == "cosine")
    sparse = _sparse(deltas, options, spec)
    for group in range(groups):
        members = labels == group
        count = members.sum(1)
        for span in row_spans(rows, cols):
            several = _of_several(sparse[:, span], members[span], count[span], options)
            merged[group, span] = several
        alone = np.flatnonzero(count == 1)
        merged[group, alone] = deltas[members[alone].argmax(1), alone]
        _keep_twins(merged[group], deltas, members, count)
    return merged, labels


def _keep_twins(
    merged: Floats, deltas: Floats, members: npt.NDArray[np.bool_], count: Labels
) -> None:
    """Give groups whose members are all equal that very change, whatever the rule."""
    for row in np.flatnonzero(count > 1):
        whose = np.flatnonzero(members[row])
        first = deltas[whose[0], row]
        if all(np.array_equal(deltas[other, row], first) for other in whose[1:]):
            merged[row] = first


def _sparse(deltas: Floats, options: ChannelOptions, spec: TensorSpec) -> Floats:
    """Thin the changes out for the rules that want it."""
    if options.rule not in {"ties", "dare"} or options.density >= 1.0:
        return deltas
    found = np.empty_like(deltas)
    for place, delta in enumerate(deltas):
        if options.rule == "dare":
            rng = rng_for(spec.seed, spec.name, f"channel expert {place}")
            kept = rng.random(delta.shape, dtype=np.float32) < options.density
            found[place] = delta * kept / np.float32(options.density)
        else:
            keep = max(1, int(options.density * delta.shape[1]))
            cut = -np.partition(-np.abs(delta), keep - 1, axis=1)[:, keep - 1 : keep]
            found[place] = np.where(np.abs(delta) >= cut, delta, np.float32(0.0))
    return found


def _of_several(
    deltas: Floats, members: npt.NDArray[np.bool_], count: Labels, options: ChannelOptions
) -> Floats:
    """Merge the members of one group in every row."""
    chosen = deltas * members.T[:, :, None].astype(np.float32)
    total: Floats = chosen.sum(0, dtype=np.float32)
    if options.rule == "ties":
        agree = (np.sign(chosen) == np.sign(total)) & (chosen != 0)
        kept = (chosen * agree).sum(0, dtype=np.float32)
        total = kept / np.maximum(agree.sum(0), 1).astype(np.float32)
    elif options.rule != "sum":
        total = total / np.maximum(count, 1).astype(np.float32)[:, None]
    return total * np.float32(options.scale)


def is_grouped(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor has channels that are grouped: matrices but for embeddings and heads."""
    return len(shape) in {_MATRIX, _STACK} and 0 not in shape and not _TABLES.search(name)


def merge(inputs: MergeInputs, options: ChannelSwitchOptions) -> Tensor:
    """Give one expert's model as it comes out of the groups; its own where none are made."""
    import torch

    deltas = flat_deltas(inputs)
    index = chosen_expert(inputs, options.expert)
    if index is None:
        return onto_base(torch.zeros_like(deltas[0]), 1.0, inputs)
    shape = inputs.spec.shape
    if not is_grouped(inputs.spec.name, shape):
        return onto_base(deltas[index].clone(), 1.0, inputs)
    stack = np.stack([delta.numpy().reshape(-1, shape[-1]) for delta in deltas])
    merged, labels = group_and_merge(stack, options, inputs.spec)
    rows = np.arange(len(labels))
    return onto_base(torch.from_numpy(merged[labels[:, index], rows]).view(-1), 1.0, inputs)


METHOD = MergingMethod(
    id="channel-merging",
    title="Channel merging",
    family="merging",
    group="experts",
    cost="N² n, 203 partitions a channel at most",
    summary="Merges in every channel only experts that changed it alike; keeps some variants.",
    source="arXiv:2412.15283",
    options=ChannelSwitchOptions,
    expert_options=ChannelExpertOptions,
    evidence="After the abstract and summaries by others; similarity, number of groups and "
    "rule are our choice.",
    merge=merge,
    switches=True,
    stored_models=lambda n_experts, options, bits: float(min(options.groups, n_experts)),  # noqa: ARG005
    working_bytes=48,
)
