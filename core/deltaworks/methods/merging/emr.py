"""EMR-merging: one unified change, and for each expert a mask and a factor.

Source: Huang et al., "EMR-Merging", arXiv:2405.17461; the factors in the paper's form, as
we remember it: a ratio of sums over all weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deltaworks.methods.merging.deltas import (
    chosen_expert,
    expert_field,
    flat_deltas,
    one_and_masks,
    onto_base,
)
from deltaworks.methods.merging.surveys import add_by_expert, places, pooled_for
from deltaworks.methods.merging_record import MergeSurvey, MergingMethod
from deltaworks.options import Options

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.merging_record import MergeInputs


class EmrOptions(Options):
    """Options of EMR-merging."""

    expert: int = expert_field()


class EmrExpertOptions(Options):
    """All experts count the same."""


def merge(inputs: MergeInputs, options: EmrOptions) -> Tensor:
    """Give the base plus the unified change where one expert agrees, times its factor."""
    import torch

    pooled = pooled_for(inputs, SURVEYS, options)
    deltas = flat_deltas(inputs)
    index = chosen_expert(inputs, options.expert)
    unified = unify(deltas)
    if index is None:
        return onto_base(torch.zeros_like(unified), 1.0, inputs)
    masked = unified * agreement(deltas[index], unified)
    return onto_base(masked, pooled[places(inputs)[index]], inputs)


def unify(deltas: list[Tensor]) -> Tensor:
    """Give of every weight the elected sign times the largest magnitude that has it.

    A sum of zero elects minus, as in the authors' formula.
    """
    import torch

    stack = torch.stack(deltas)
    sign = torch.where(stack.sum(0) > 0, 1.0, -1.0)
    return sign * (stack * sign).amax(0).clamp_min(0.0)


def agreement(delta: Tensor, unified: Tensor) -> Tensor:
    """Say where a change has the elected sign."""
    return delta * unified > 0


def _gather(inputs: MergeInputs, options: Any) -> Any:  # noqa: ARG001
    import torch

    deltas = flat_deltas(inputs)
    unified = unify(deltas)
    return {
        place: torch.stack(
            [
                delta.abs().sum(dtype=torch.float64),
                (unified * agreement(delta, unified)).abs().sum(dtype=torch.float64),
            ]
        )
        for place, delta in zip(places(inputs), deltas, strict=True)
    }


def _factors(found: Any, options: Any, before: Any) -> dict[int, float]:  # noqa: ARG001
    return {
        place: float(sums[0] / sums[1]) if float(sums[1]) else 1.0 for place, sums in found.items()
    }


SURVEYS = (MergeSurvey(gather=_gather, finish=_factors, add=add_by_expert),)

METHOD = MergingMethod(
    id="emr",
    title="EMR-merging",
    family="merging",
    group="magnitude",
    cost="N n, one survey",
    summary="One unified change for all; a mask and a factor give each expert's model.",
    source="arXiv:2405.17461",
    options=EmrOptions,
    expert_options=EmrExpertOptions,
    evidence="Built from formulas read in published code, the factors from memory of the "
    "paper; not compared with outputs.",
    merge=merge,
    is_elementwise=True,
    surveys=SURVEYS,
    switches=True,
    stored_models=one_and_masks,
    working_bytes=40,
)
