"""Perplexity on running text, with fixed windows."""

from __future__ import annotations

from math import exp, inf

from deltaworks.evaluation.counting import TextBatch
from deltaworks.evaluation.intervals import RunningMean
from deltaworks.evaluation.measures import Measure

_LARGEST = 700.0  # exp beyond overflows


class Perplexity:
    """exp of the mean of -log p(token that came), over counted positions."""

    def __init__(self) -> None:
        self._mean = RunningMean()

    def add(self, batch: TextBatch) -> None:
        """Take in one window."""
        chosen = batch.model.logits.gather(-1, batch.targets.unsqueeze(-1)).squeeze(-1)
        each = batch.model.norms - chosen.double()
        self._mean.add(float(each.sum()), each.numel())

    def measure(self, data: str) -> Measure:
        """Give the perplexity; its interval is the exponential of the mean's."""
        low, high = self._mean.interval() or (None, None)
        return Measure(
            "perplexity",
            "Perplexity",
            _exp(self._mean.mean),
            "perplexity",
            data,
            self._mean.n,
            None if low is None else _exp(low),
            None if high is None else _exp(high),
            higher_is_better=False,
        )


def _exp(nats: float) -> float:
    return exp(nats) if nats < _LARGEST else inf
