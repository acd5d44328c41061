"""Arms of a comparison: what each adds up, and how often each is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.methods.continual.sotu import SotuOptions, thin, widen
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.heads import Head, Ridge
from deltaworks.studies.grow_record import Arm, Row
from deltaworks.studies.grow_types import Course
from deltaworks.training.backbones import Weights

Labels = npt.NDArray[np.int64]


class Variant:
    """One arm that merges: a running sum, and heads that learn along."""

    def __init__(
        self, name: str, title: str, options: SotuOptions | None, *, is_average: bool = False
    ) -> None:
        self.id, self.title, self.options, self.is_average = name, title, options, is_average
        self.total: Weights = {}

    def add(self, delta: Weights, specs: dict[str, TensorSpec], number: int) -> None:
        """Add a task's change, thinned in this arm's way."""
        if self.options is None:
            return
        for name, one in delta.items():
            values = thin(one, specs[name], number, self.options)
            piece = widen(values, specs[name], number, self.options)
            if name in self.total:
                self.total[name] += piece
            else:
                self.total[name] = piece

    def weights(self, base: Weights, n_tasks: int) -> Weights:
        """Give the arm's backbone after so many tasks."""
        if self.options is None or not self.total:
            return base
        scale = np.float32(1.0 / n_tasks if self.is_average else self.options.scale)
        return {name: one + scale * self.total[name] for name, one in base.items()}


class Judge:
    """Accuracies of one arm with one classifier and one kind of statistics."""

    def __init__(self, name: str, title: str, classifier: str, statistics: str) -> None:
        self.id, self.title = name, title
        self.classifier, self.statistics = classifier, statistics
        self.matrix: list[Row] = []
        self.curve: list[float | None] = []
        self.head: Head | None = None

    def skip(self, n_tasks: int) -> None:
        """Keep that nothing was measured after a task."""
        self.matrix.append((None,) * n_tasks)
        self.curve.append(None)

    def note(self, right: Sequence[npt.NDArray[np.bool_] | None]) -> None:
        """Keep which test examples were right, task by task; None for tasks to come."""
        self.matrix.append(
            tuple(None if one is None or not len(one) else float(one.mean()) for one in right)
        )
        every = np.concatenate([np.zeros(0, bool), *[one for one in right if one is not None]])
        self.curve.append(float(every.mean()) if len(every) else None)

    def arm(self) -> Arm:
        """Give the record."""
        return Arm(
            self.id,
            self.title,
            self.classifier,
            self.statistics,
            tuple(self.matrix),
            tuple(self.curve),
        )


def variants_of(course: Course) -> list[Variant]:
    """List what is merged and measured beside each other; the one that was asked for first."""
    options = course.options
    found = [Variant("sotu", f"SoTU, drop {options.drop_rate:g}", options)]
    if course.baselines != "none":
        dense = options.model_copy(update={"drop_rate": 0.0, "scale": 1.0, "rescale": False})
        found += [
            Variant("frozen", "Frozen base", None),
            Variant("dense-sum", "Dense sum", dense),
            Variant("dense-average", "Dense average", dense, is_average=True),
        ]
    for rate in course.drop_rates:
        if rate != options.drop_rate:
            other = options.model_copy(update={"drop_rate": rate})
            found.append(Variant(f"sotu-{rate:g}", f"SoTU, drop {rate:g}", other))
    if course.rescaled:
        other = options.model_copy(update={"rescale": not options.rescale})
        word = "not rescaled" if options.rescale else "rescaled"
        found.append(Variant(f"sotu-{word.replace(' ', '-')}", f"SoTU, {word}", other))
    return found


class LateRidge(Ridge):
    """Ridge that draws its projection when it sees how wide features are."""

    def __init__(self, columns: int, seed: int, scale: float, strengths: Sequence[float]) -> None:
        super().__init__(None, seed=seed, strengths=strengths)
        self._columns, self._scale = columns, scale

    def add(self, features: npt.NDArray[Any], labels: Labels) -> None:
        """Learn from one task's features; see ``Ridge``."""
        if self.projection is None and self._columns:
            drawn = Ridge.drawn(features.shape[1], self._columns, self._seed, scale=self._scale)
            self.projection = drawn.projection
        super().add(features, labels)
