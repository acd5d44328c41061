"""How often model and expert would write the same next token."""

from __future__ import annotations

from deltaworks.evaluation.counting import TextBatch
from deltaworks.evaluation.intervals import RunningMean, wilson
from deltaworks.evaluation.measures import Measure


class TopOneAgreement:
    """Share of positions where both find the same token likeliest."""

    def __init__(self) -> None:
        self._same = 0
        self._n = 0

    def add(self, batch: TextBatch) -> None:
        """Take in one window."""
        assert batch.expert is not None
        same = batch.model.top[:, 0] == batch.expert.top[:, 0]
        self._same += int(same.sum())
        self._n += same.numel()

    def measure(self, data: str) -> Measure:
        """Give the share with its Wilson interval."""
        share = self._same / self._n if self._n else 0.0
        low, high = wilson(self._same, self._n)
        return Measure(
            "top1-agreement", "Same next token", share, "fraction", data, self._n, low, high
        )


class TopFiveOverlap:
    """Mean share of the expert's five likeliest tokens among the model's five."""

    def __init__(self) -> None:
        self._mean = RunningMean()

    def add(self, batch: TextBatch) -> None:
        """Take in one window."""
        assert batch.expert is not None
        ours, theirs = batch.model.top, batch.expert.top
        shared = (ours.unsqueeze(-1) == theirs.unsqueeze(-2)).any(-1).sum()
        self._mean.add(float(shared) / ours.shape[-1], ours.shape[0])

    def measure(self, data: str) -> Measure:
        """Give the mean with the interval over windows."""
        low, high = self._mean.interval() or (None, None)
        return Measure(
            "top5-overlap",
            "Shared among five likeliest",
            self._mean.mean,
            "fraction",
            data,
            self._mean.n,
            low,
            high,
        )
