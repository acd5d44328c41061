"""Losses on answers: what a model is tuned on and measured by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_NO_TARGET = -100


@dataclass(frozen=True, slots=True)
class Lesson:
    """One text, and where what is to be learnt of it begins.

    Args:
        ids: token ids.
        answer: place of the first token of the answer; 0 for running text.
    """

    ids: tuple[int, ...]
    answer: int = 0

    @property
    def n_targets(self) -> int:
        """Tokens that are predicted; the first of a text never is."""
        return max(0, len(self.ids) - max(1, self.answer))


def lessons_of(ids: Sequence[Sequence[int]], answers: Sequence[int]) -> list[Lesson]:
    """Make lessons, without texts whose answer is empty or was cut off."""
    every = (Lesson(tuple(one), at) for one, at in zip(ids, answers, strict=True))
    return [lesson for lesson in every if lesson.n_targets]


def total_loss(model: Module, lessons: Sequence[Lesson], device: str) -> Tensor:
    """Sum the cross-entropy of all answer tokens of one batch, padded on the right."""
    import torch

    width = max(len(one.ids) for one in lessons)
    ids = torch.zeros(len(lessons), width, dtype=torch.long)
    mask, targets = torch.zeros_like(ids), torch.full_like(ids, _NO_TARGET)
    for row, one in enumerate(lessons):
        length, first = len(one.ids), max(1, one.answer)
        ids[row, :length] = torch.tensor(one.ids)
        mask[row, :length] = 1
        targets[row, first - 1 : length - 1] = ids[row, first:length]
    out: Any = model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
    return torch.nn.functional.cross_entropy(
        out.logits.float().flatten(0, 1),
        targets.to(device).flatten(),
        ignore_index=_NO_TARGET,
        reduction="sum",
    )


def mean_loss(model: Module, lessons: Sequence[Lesson], device: str) -> Tensor:
    """Give the mean over all answer tokens of one batch; differentiable."""
    return total_loss(model, lessons, device) / sum(one.n_targets for one in lessons)


def measured_loss(model: Module, lessons: Sequence[Lesson], device: str, size: int = 16) -> float:
    """Give the mean over all answer tokens of all lessons, batch by batch, without gradients."""
    import torch

    total = 0.0
    with torch.no_grad():
        for at in range(0, len(lessons), size):
            total += float(total_loss(model, lessons[at : at + size], device))
    return total / sum(one.n_targets for one in lessons)
