"""What a method of safety repair is, and what it sees of a tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from deltaworks.methods.method import Method, Statistic, TensorSpec

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.numerics.factors import Factor


@dataclass(frozen=True, slots=True)
class RepairInputs:
    """What a safety method sees of one tensor.

    Matrices are ``(out, in)`` here: what is stored the other way round is turned before
    and after.

    Args:
        spec: name, shape and seed.
        aligned: of the model that still refuses.
        tuned: of its fine-tune; unrounded in float32 where it is an adapter.
        unaligned: of a model tuned until it no longer refuses, or None.
        pretrained: of the model before its alignment, or None.
        sibling: of another fine-tune of the aligned model that was tuned for safety, or None.
        gram: gives second moments of the layer's inputs, ``(in, in)``, or their diagonal
            alone, ``(in,)``; None where there is none.
        fisher: gives the safety importance of every weight, ``spec.shape``, or None.
        factor: gives the factor of the damped Gram matrix for a damping where it is kept;
            None when it is to be computed from ``gram``.
        pair: factors ``(out, rank)`` and ``(rank, in)`` of the change, where the
            fine-tune is an adapter that stays one; or None.
    """

    spec: TensorSpec
    aligned: Tensor
    tuned: Tensor
    unaligned: Tensor | None = None
    pretrained: Tensor | None = None
    sibling: Tensor | None = None
    gram: Callable[[], Tensor] | None = None
    fisher: Callable[[], Tensor] | None = None
    factor: Callable[[float], Factor] | None = None
    pair: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True, slots=True)
class Repaired:
    """One repaired tensor.

    Args:
        tensor: floating (rounded once by the engine), of the shape of the inputs; of the
            first factor where a pair was repaired.
        facts: figures for the report, such as the share of the delta admitted.
    """

    tensor: Tensor
    facts: Mapping[str, float] = field(default_factory=dict)


OptionalModel = Literal["unaligned", "pretrained", "sibling"]
Texts = Literal["safety", "task", "harmful"]
Role = Literal["aligned", "tuned"]


@dataclass(frozen=True, slots=True)
class FirstLook:
    """A look at all tensors before the first is repaired.

    Args:
        is_needed: whether these options need it.
        score: inputs and options to one number a tensor.
        settle: options and the numbers by tensor to the options to repair with.
    """

    is_needed: Callable[[Any], bool]
    score: Callable[[RepairInputs, Any], float]
    settle: Callable[[Any, Mapping[str, float]], Any]


def _all_layers(_layer: str, _is_adapter: bool, _options: Any) -> bool:
    """Treat every matrix."""
    return True


@dataclass(frozen=True)
class SafetyMethod(Method):
    """A method that brings refusals back into a fine-tuned model.

    Args:
        repair: inputs and options to the repaired tensor. Never changes its inputs.
        inputs: optional models it cannot do without, each with those that may stand in.
        texts: which texts its statistics come from: safety pairs, the task's, or none.
        gram_of: whose inputs, on which texts; None when it uses no Gram matrices.
        wants: which statistics some options use; ``needs`` has those of the defaults.
        is_diagonal: whether options take the diagonal of the Gram matrix alone.
        recomputes: whether options take each block's Gram matrices after the blocks before
            it are repaired.
        budget: option that a trade-off varies; empty when there is none.
        treats_all: whether it treats every floating tensor, not block matrices alone.
        treats: whether it treats a layer of a block, by its name, whether the fine-tune is
            an adapter, and the options.
        others: which model tensors that it does not treat come from.
        first_look: what it must know of all tensors first.
        repair_pair: like ``repair``, for the first factor of an adapter's pair.
        working_bytes: bytes a weight that repairing holds at most beside its inputs.
        square_bytes: bytes a number of a Gram matrix that it holds on top.
    """

    repair: Callable[[RepairInputs, Any], Repaired] = field(kw_only=True)
    inputs: tuple[tuple[OptionalModel, ...], ...] = field(default=(), kw_only=True)
    texts: tuple[Texts, ...] = field(default=(), kw_only=True)
    gram_of: tuple[Role, Texts] | None = field(default=None, kw_only=True)
    wants: Callable[[Any], tuple[Statistic, ...]] | None = field(default=None, kw_only=True)
    is_diagonal: Callable[[Any], bool] | None = field(default=None, kw_only=True)
    recomputes: Callable[[Any], bool] | None = field(default=None, kw_only=True)
    budget: str = field(default="", kw_only=True)
    treats_all: bool = field(default=False, kw_only=True)
    treats: Callable[[str, bool, Any], bool] = field(default=_all_layers, kw_only=True)
    others: Role = field(default="tuned", kw_only=True)
    first_look: FirstLook | None = field(default=None, kw_only=True)
    repair_pair: Callable[[RepairInputs, Any], Repaired] | None = field(default=None, kw_only=True)
    working_bytes: int = field(default=16, kw_only=True)
    square_bytes: int = field(default=0, kw_only=True)

    def statistics(self, options: Any) -> tuple[Statistic, ...]:
        """Which statistics it needs with these options."""
        return self.needs.statistics if self.wants is None else self.wants(options)
