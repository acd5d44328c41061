"""Classifiers without gradients on top of features: class means, and ridge regression."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.ridge import (
    STRENGTHS,
    Floats,
    Labels,
    RidgeSums,
    choose_strength,
    draw_projection,
)

Arrays = dict[str, npt.NDArray[Any]]


class Head(ABC):
    """Learns classes from features, never twice from the same.

    Attributes:
        counts: items of each class so far, ``(C,)``.
    """

    kind: str
    counts: Labels

    @abstractmethod
    def add(self, features: npt.NDArray[Any], labels: Labels) -> None:
        """Learn from features ``(n, d)`` and the numbers of their classes."""

    @abstractmethod
    def scores(self, features: npt.NDArray[Any]) -> Floats:
        """Score every class, ``(n, C)``; classes without items score least."""

    @abstractmethod
    def arrays(self) -> Arrays:
        """Give all its numbers by name."""

    def predict(self, features: npt.NDArray[Any]) -> Labels:
        """Give the number of the likeliest class of each row."""
        if not self.counts.any():
            return np.full(len(features), -1)
        found: Labels = self.scores(features).argmax(axis=1)
        return found

    def _count(self, labels: Labels) -> None:
        fresh = np.bincount(labels, minlength=len(self.counts))
        fresh[: len(self.counts)] += self.counts
        self.counts = fresh


class ClassMeans(Head):
    """The class whose mean feature points most nearly the same way.

    Args:
        sums: of the features of each class, ``(C, d)``; none to begin with.
        counts: items of each.
    """

    kind = "class-mean"

    def __init__(self, sums: Floats | None = None, counts: Labels | None = None) -> None:
        self._sums = np.zeros((0, 0)) if sums is None else sums
        self.counts = np.zeros(0, np.int64) if counts is None else counts

    def add(self, features: npt.NDArray[Any], labels: Labels) -> None:
        """Learn from features; see ``Head``."""
        self._count(labels)
        grown = np.zeros((len(self.counts), features.shape[1]))
        grown[: len(self._sums)] = self._sums.reshape(-1, features.shape[1])
        np.add.at(grown, labels, features.astype(np.float64, copy=False))
        self._sums = grown

    @property
    def prototypes(self) -> Floats:
        """The mean feature of each class, ``(C, d)``; zeros where there is no item."""
        means: Floats = self._sums / np.maximum(self.counts, 1)[:, None]
        return means

    def scores(self, features: npt.NDArray[Any]) -> Floats:
        """Give cosines; see ``Head``."""
        found = _unit(features.astype(np.float64, copy=False)) @ _unit(self.prototypes).T
        return np.where(self.counts > 0, found, -np.inf)

    def arrays(self) -> Arrays:
        """Give all its numbers by name."""
        return {"prototypes": self.prototypes, "counts": self.counts}


class Ridge(Head):
    """Ridge regression on features, projected at random and rectified first.

    Args:
        projection: ``(d, M)``, or None to take features as they are.
        seed: of the shuffling when the strength is chosen.
        strengths: to choose from.
    """

    kind = "ridge"

    def __init__(
        self, projection: Floats | None, *, seed: int = 0, strengths: Sequence[float] = STRENGTHS
    ) -> None:
        self.projection, self.strength = projection, 1.0
        self.counts = np.zeros(0, np.int64)
        self._seed, self._strengths = seed, strengths
        self.sums: RidgeSums | None = None
        self._weights: Floats | None = None

    @classmethod
    def drawn(
        cls,
        width: int,
        n_columns: int,
        seed: int,
        *,
        scale: float = 1.0,
        strengths: Sequence[float] = STRENGTHS,
    ) -> Ridge:
        """Begin with a projection to ``n_columns``; none when that is 0."""
        drawn = draw_projection(width, n_columns, seed, scale) if n_columns else None
        return cls(drawn, seed=seed, strengths=strengths)

    @classmethod
    def stored(cls, arrays: Arrays) -> Ridge:
        """Give one back that was kept as ``arrays``."""
        found = cls(arrays.get("W_rand"))
        found._weights, found.counts = arrays["W_o"], arrays["counts"]
        return found

    def rows(self, features: npt.NDArray[Any]) -> Floats:
        """Give what the regression sees of features, ``(n, M)``."""
        plain = features.astype(np.float64, copy=False)
        return plain if self.projection is None else np.maximum(plain @ self.projection, 0.0)

    def add(self, features: npt.NDArray[Any], labels: Labels) -> None:
        """Learn from one task's features; the strength is chosen anew."""
        rows = self.rows(features)
        if self.sums is None:
            self.sums = RidgeSums.empty(rows.shape[1])
        self.sums.add(rows, labels)
        self._count(labels)
        self.strength = choose_strength(rows, labels, seed=self._seed, strengths=self._strengths)
        self._weights = None

    @property
    def weights(self) -> Floats:
        """The solution, ``(M, C)``, found when it is first asked for."""
        if self._weights is None:
            assert self.sums is not None, "nothing was added"
            self._weights = self.sums.solve(self.strength)
        return self._weights

    def scores(self, features: npt.NDArray[Any]) -> Floats:
        """Give the regression's outputs; see ``Head``."""
        return np.where(self.counts > 0, self.rows(features) @ self.weights, -np.inf)

    def arrays(self) -> Arrays:
        """Give all its numbers by name, the sums too, so that tasks can be added."""
        found: Arrays = {"W_o": self.weights, "counts": self.counts}
        if self.projection is not None:
            found["W_rand"] = self.projection
        if self.sums is not None:
            found |= {"G": self.sums.gram, "Q": self.sums.targets}
        return found


def _unit(rows: Floats) -> Floats:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    units: Floats = rows / np.where(norms > 0, norms, 1.0)
    return units
