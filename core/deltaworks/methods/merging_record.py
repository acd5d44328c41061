"""What a merging method is, and what it sees of a tensor."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from deltaworks.methods.method import Method, TensorSpec
from deltaworks.numerics.rounding import FLOAT32, Arithmetic
from deltaworks.numerics.stored import Room, Stored
from deltaworks.options import Options

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.numerics.rounding import Floats

Group = Literal[
    "permutation",
    "direct",
    "magnitude",
    "activation",
    "optimisation",
    "lora",
    "experts",
    "spectral",
]
"""Classes of the merging survey (arXiv:2503.08998), and ``spectral``, which is ours."""


@dataclass(frozen=True, slots=True)
class MergeExpert:
    """One expert's tensor with the options that hold for it.

    Args:
        tensor: as stored.
        options: of this expert.
        gram: gives second moments of the layer's inputs on the expert's texts, ``(in, in)``.
        fisher: gives squared gradients of every weight on them, of the tensor's shape.
        place: among the experts of the recipe, for what is known of each; -1 where all
            have the tensor.
    """

    tensor: Tensor
    options: Any
    gram: Callable[[], Tensor] | None = None
    fisher: Callable[[], Tensor] | None = None
    place: int = -1


@dataclass(frozen=True, slots=True)
class MergeInputs:
    """What a merging method sees of one tensor.

    Args:
        spec: name, shape and seed.
        base: as stored, or None when the method runs without one.
        experts: in the user's order; tensors of ``spec.shape``.
        pooled: what the method's surveys found in all tensors; None before, and for
            methods without one.
        config: of the model that gives the result its architecture.
        arithmetic: where intermediate results are rounded.
    """

    spec: TensorSpec
    base: Tensor | None
    experts: tuple[MergeExpert, ...]
    pooled: Any = None
    config: Mapping[str, Any] = field(default_factory=dict)
    arithmetic: Arithmetic = FLOAT32


@dataclass(frozen=True, slots=True)
class StreamInputs:
    """What a method that works piece by piece sees of one tensor, or of some rows of it.

    Args:
        spec: name, shape and seed.
        base: or None when the method runs without one; as long as the experts.
        experts: in the user's order.
        options: of each expert.
        arithmetic: where intermediate results are rounded.
        room: buffers of this thread; spans are never longer than they are.
    """

    spec: TensorSpec
    base: Stored | None
    experts: tuple[Stored, ...]
    options: tuple[Any, ...]
    arithmetic: Arithmetic = FLOAT32
    room: Room = field(default_factory=Room)

    def __len__(self) -> int:
        return len(self.experts[0])


Fill = Callable[[slice, "Floats"], None]
"""Writes the merged numbers of a span in float32. Spans come in order, without a gap."""


@dataclass(frozen=True, slots=True)
class MergeSurvey:
    """One pass over all tensors before the merge, for what no single tensor tells.

    What is gathered is added up in the order of the plan, so threads do not change it.

    Args:
        gather: inputs (whole tensors; ``pooled`` of the survey before) and options to
            statistics of one tensor.
        finish: all statistics, options and ``pooled`` of the survey before to ``pooled``.
        add: two statistics to one; may change and return the first.
    """

    gather: Callable[[MergeInputs, Any], Any]
    finish: Callable[[Any, Any, Any], Any]
    add: Callable[[Any, Any], Any] = operator.add


def _no_merge(inputs: MergeInputs, options: Any) -> Tensor:
    raise NotImplementedError(inputs.spec.name, options)


@dataclass(frozen=True, slots=True)
class _Streamed:
    """``merge`` of a method that streams.

    Args:
        stream: of the method.
    """

    stream: Callable[[StreamInputs, Any], Fill]

    def __call__(self, inputs: MergeInputs, options: Any) -> Tensor:
        """Merge a whole tensor at once."""
        from deltaworks.methods.streaming import merge_streamed

        return merge_streamed(self.stream, inputs, options)


@dataclass(frozen=True)
class MergingMethod(Method):
    """A method that makes one model of several.

    Args:
        expert_options: options that every expert has for itself, such as its weight.
        merge: inputs and options to the merged tensor in float32 (rounded once by the
            engine). Never changes its inputs. Where ``pooled`` is None although there are
            surveys, the tensor counts as the whole model. Methods that stream need none.
        stream: the same piece by piece, without torch: looks at all numbers as often as it
            must, and gives what writes the result. None where whole tensors are needed.
        n_buffers: buffers of one piece that streaming needs beside one for each expert.
        is_elementwise: whether the engine may split the tensor by rows.
        working_bytes: bytes a weight that merging holds at most beside its inputs, the
            result in float32 included.
        group: class of the survey that it belongs to.
        cost: work on one matrix of n weights and N experts, for people.
        surveys: passes over all tensors before the merge.
        switches: whether it gives a model for each expert, chosen by the option
            ``expert``, instead of one for all.
        stored_models: of such a method, how many models' worth of weights it has to keep:
            from the number of experts, the options and the bits a weight.
    """

    expert_options: type[Options] = field(kw_only=True)
    merge: Callable[[MergeInputs, Any], Tensor] = field(default=_no_merge, kw_only=True)
    stream: Callable[[StreamInputs, Any], Fill] | None = field(default=None, kw_only=True)
    n_buffers: int = field(default=2, kw_only=True)
    is_elementwise: bool = field(default=False, kw_only=True)
    working_bytes: int = field(default=12, kw_only=True)
    group: Group = field(default="direct", kw_only=True)
    cost: str = field(default="", kw_only=True)
    surveys: tuple[MergeSurvey, ...] = field(default=(), kw_only=True)
    switches: bool = field(default=False, kw_only=True)
    stored_models: Callable[[int, Any, float], float] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Let methods that stream merge whole tensors as well."""
        if self.stream is not None:
            object.__setattr__(self, "merge", _Streamed(self.stream))
