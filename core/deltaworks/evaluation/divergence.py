"""Kullback-Leibler divergence of a model from its expert, in nats a token."""

from __future__ import annotations

from deltaworks.evaluation.counting import TextBatch
from deltaworks.evaluation.intervals import RunningMean
from deltaworks.evaluation.measures import Measure


class Divergence:
    """Mean of KL(expert ‖ model) = Σ p_e (log p_e - log p_x) over positions.

    Expanded as Σ p_e (l_e - l_x) - Z_e + Z_x over raw logits, so that equal logits give
    exactly zero; sums run in float64.
    """

    def __init__(self) -> None:
        self._mean = RunningMean()

    def add(self, batch: TextBatch) -> None:
        """Take in one window."""
        import torch

        expert = batch.expert
        assert expert is not None
        chances = (expert.logits - expert.norms.float().unsqueeze(-1)).exp_()
        shift = (chances * batch.gap).sum(-1, dtype=torch.float64)
        each = shift - expert.norms + batch.model.norms
        self._mean.add(float(each.sum()), each.numel())

    def measure(self, data: str) -> Measure:
        """Give the mean with the interval over windows."""
        low, high = self._mean.interval() or (None, None)
        return Measure(
            id="kl",
            title="Divergence from the expert",
            value=self._mean.mean,
            unit="nats/token",
            data=data,
            n=self._mean.n,
            low=low if low is None else max(0.0, low),
            high=high,
            higher_is_better=False,
        )
