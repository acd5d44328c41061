"""A stream of tasks: what goes into it, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from deltaworks.methods.continual.sotu import Classifier, SotuOptions, Statistics
from deltaworks.numerics.heads import Head
from deltaworks.numerics.ridge import STRENGTHS
from deltaworks.studies.grow_record import GrowResult
from deltaworks.training.backbones import Examples, Tuning, Weights

Baselines = Literal["all", "untrained", "none"]


@dataclass(frozen=True)
class Task:
    """One task of the stream.

    Args:
        name: of the task, unlike all others.
        number: that its masks are drawn with, unlike all others.
        classes: numbers of the classes that it brings; none where it has no data.
        train: its examples, or None.
        test: what is asked about its classes, or None.
        tuned: gives the weights of a finished fine-tune, in place of training.
    """

    name: str
    number: int
    classes: tuple[int, ...]
    train: Examples | None
    test: Examples | None
    tuned: Callable[[], Weights] | None = None


@dataclass(frozen=True)
class Course:
    """How a stream is run.

    Args:
        options: of SoTU.
        tuning: of every task.
        seed: of masks, heads, orders and projections.
        classifiers: to measure with; statistics likewise. Those of ``options`` by default.
        statistics: when class statistics are computed.
        drop_rates: further ones to measure.
        rescaled: also measure with rescaling.
        baselines: ``untrained`` leaves sequential and joint training out.
        projection_scale: of the ridge's random projection.
        strengths: of ridge that are tried.
    """

    options: SotuOptions
    tuning: Tuning
    seed: int = 0
    classifiers: tuple[Classifier, ...] = ()
    statistics: tuple[Statistics, ...] = ()
    drop_rates: tuple[float, ...] = ()
    rescaled: bool = False
    baselines: Baselines = "all"
    projection_scale: float = 1.0
    strengths: Sequence[float] = STRENGTHS


@dataclass(frozen=True)
class Grown:
    """What comes out of a stream.

    Args:
        result: all measures.
        weights: of the merged backbone.
        head: the classifier that was asked for; None where no task had data.
    """

    result: GrowResult
    weights: Weights
    head: Head | None


class Joined:
    """Examples of several tasks, one after the other."""

    def __init__(self, parts: Sequence[Examples]) -> None:
        self._parts = parts
        self.labels: npt.NDArray[np.int64] = np.concatenate([one.labels for one in parts])
        self._ends = np.cumsum([len(one.labels) for one in parts])

    def batch(self, places: Sequence[int]) -> Any:
        """Give the inputs at some places of all, one tensor."""
        import torch

        pieces = []
        for place in places:
            part = int(np.searchsorted(self._ends, place, side="right"))
            start = int(self._ends[part - 1]) if part else 0
            pieces.append(self._parts[part].batch([place - start]))
        return torch.cat(pieces)
