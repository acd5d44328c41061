"""The largest change of any logit: a bound on surprises that means do not show."""

from __future__ import annotations

from deltaworks.evaluation.counting import TextBatch
from deltaworks.evaluation.measures import Measure


class LogitGap:
    """Maximum of |expert's logit - model's logit| over positions and vocabulary."""

    def __init__(self) -> None:
        self._largest = 0.0
        self._n = 0

    def add(self, batch: TextBatch) -> None:
        """Take in one window."""
        low, high = batch.gap.aminmax()
        self._largest = max(self._largest, -float(low), float(high))
        self._n += batch.targets.numel()

    def measure(self, data: str) -> Measure:
        """Give the maximum; a maximum has no interval."""
        return Measure(
            "logit-gap",
            "Largest logit change",
            self._largest,
            "nats",
            data,
            self._n,
            higher_is_better=False,
        )
