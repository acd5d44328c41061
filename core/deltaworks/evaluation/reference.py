"""The expert's scores on a text: kept when they are small, computed again when not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.evaluation.counting import Scores, score
from deltaworks.evaluation.windows import Windows
from deltaworks.inference.running import RunningModel, load_model
from deltaworks.progress import JobControl

KEPT_BYTES = 256_000_000
"""Most bytes of logits to hold; beyond, a second model is held instead."""


class Reference(Protocol):
    """Scores of the expert, batch by batch."""

    def batch(self, index: int) -> list[Scores]:
        """Give the scores of each window of a batch."""


def window_scores(running: RunningModel, windows: Windows, index: int) -> list[Scores]:
    """Run one batch and give the counted positions of each of its windows."""
    inputs, _ = windows.batches[index]
    logits = running.logits(inputs)
    rows = zip(logits, windows.skips[index], strict=True)
    return [score(row[skip:]) for row, skip in rows]


class KeptReference:
    """Scores held in memory."""

    def __init__(self, running: RunningModel, windows: Windows, control: JobControl) -> None:
        """Compute all of them; the expert's weights must be in."""
        self._batches = list(_all(running, windows, control))

    def batch(self, index: int) -> list[Scores]:
        """Give them back."""
        return self._batches[index]


class RunningReference:
    """A second model that holds the expert's weights."""

    def __init__(self, expert: Checkpoint, windows: Windows, device: str) -> None:
        self._running = load_model(expert, device=device)
        self._windows = windows

    def batch(self, index: int) -> list[Scores]:
        """Compute them again."""
        return window_scores(self._running, self._windows, index)


def reference_of(
    expert: Checkpoint,
    running: RunningModel,
    windows: Windows,
    control: JobControl,
    *,
    kept_bytes: int = KEPT_BYTES,
) -> Reference:
    """Choose by size. ``running`` must hold the expert's weights."""
    if windows.n * running.vocabulary_size * 4 <= kept_bytes:
        return KeptReference(running, windows, control)
    return RunningReference(expert, windows, running.device)


def _all(running: RunningModel, windows: Windows, control: JobControl) -> Iterator[list[Scores]]:
    for index in range(len(windows.batches)):
        control.check()
        yield [_compact(scores) for scores in window_scores(running, windows, index)]


def _compact(scores: Scores) -> Scores:
    """Hold the counted positions only, not the whole batch they are a view of."""
    return Scores(scores.logits.clone(), scores.norms, scores.top)
