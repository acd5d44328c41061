"""What every measure on text sees of a batch, and what it must give back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from deltaworks.evaluation.measures import Measure

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Scores:
    """One model's opinion on the counted positions of one window.

    Args:
        logits: float32 ``(positions, vocabulary)``.
        norms: float64 ``(positions,)``, log Σ exp of each row.
        top: the five likeliest token ids, ``(positions, 5)``, best first.
    """

    logits: Tensor
    norms: Tensor
    top: Tensor


@dataclass(frozen=True)
class TextBatch:
    """The counted positions of one window.

    Args:
        targets: the tokens that came, ``(positions,)``.
        model: scores of the model that is measured.
        expert: scores of the expert; None without one.
    """

    targets: Tensor
    model: Scores
    expert: Scores | None

    @cached_property
    def gap(self) -> Tensor:
        """Expert's logits minus the model's, float32 ``(positions, vocabulary)``."""
        assert self.expert is not None
        return self.expert.logits - self.model.logits


class TextCounter(Protocol):
    """One measure on text while the windows go by."""

    def add(self, batch: TextBatch) -> None:
        """Take in one window."""

    def measure(self, data: str) -> Measure:
        """Give the number; ``data`` says what it was measured on."""


def score(logits: Tensor) -> Scores:
    """Prepare logits ``(positions, vocabulary)`` for the counters.

    The sum inside the norm runs in float64: a mean over many thousand tokens must not
    drift when the divergence itself is small.
    """
    import torch

    peak = logits.amax(-1, keepdim=True)
    sums = (logits - peak).exp_().sum(-1, dtype=torch.float64)
    norms = sums.log() + peak.squeeze(-1).double()
    top = logits.topk(min(5, logits.shape[-1]), dim=-1).indices
    return Scores(logits, norms, top)
