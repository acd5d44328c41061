"""What a stream of tasks showed: arms, accuracies, cosines, overlap, bytes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

Row = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to come by a backbone, with one classifier.

    Args:
        id: ``sotu``, ``frozen``, ``dense-sum``, ``dense-average``, ``sequential``, ``joint``, or
            ``sotu-0.5`` for another drop rate.
        title: for people.
        classifier: ``class-mean``, ``ridge`` or ``linear``, the head trained along.
        statistics: ``streaming`` or ``re-pass``.
        matrix: after task t (rows), share right on the test images of task i (columns),
            among all classes so far; None where nothing was measured.
        curve: after task t, share right on the test images of all tasks so far.
    """

    id: str
    title: str
    classifier: str
    statistics: str
    matrix: tuple[Row, ...]
    curve: Row

    @property
    def last(self) -> float | None:
        """Share right on all test images after the last task."""
        return self.curve[-1] if self.curve else None

    @property
    def average(self) -> float | None:
        """Mean of the curve; None where it has gaps."""
        known = [one for one in self.curve if one is not None]
        return float(np.mean(known)) if known and len(known) == len(self.curve) else None

    @property
    def forgetting(self) -> float | None:
        """Mean over earlier tasks of best minus last; None where rows are missing."""
        if len(self.matrix) < 2 or any(one is None for one in self.curve):
            return None
        losses = []
        for task, last in enumerate(self.matrix[-1][:-1]):
            seen = [row[task] for row in self.matrix if row[task] is not None]
            if last is not None and seen:
                losses.append(max(one for one in seen if one is not None) - last)
        return float(np.mean(losses)) if losses else None


@dataclass(frozen=True, slots=True)
class StoredTask:
    """What one task's change costs to keep.

    Args:
        name: of the task.
        number: that its masks are drawn with.
        classes: that it brought.
        n_train: images; ``n_test`` likewise.
        kept: weights whose change is stored, of ``n_weights``.
        value_bytes: of those, four bytes each; masks are drawn again and cost nothing.
        file_bytes: of the whole file; 0 where none was written.
    """

    name: str
    number: int
    classes: tuple[str, ...]
    n_train: int
    n_test: int
    kept: int
    n_weights: int
    value_bytes: int
    file_bytes: int = 0


@dataclass(frozen=True, slots=True)
class GrowResult:
    """All of it.

    Args:
        tasks: in the order of the stream.
        arms: all that were measured; the first is the one that was asked for.
        cosines: between the tasks' changes; ``thinned_cosines`` after their masks.
        norms: of the tasks' changes; ``sum_norms`` of dense and thinned sum.
        touched: share of weights that at least one, and at least two tasks change.
        expected_touched: the same by the formula.
        notes: what was left out, and why.
    """

    tasks: tuple[StoredTask, ...]
    arms: tuple[Arm, ...]
    cosines: tuple[Row, ...]
    thinned_cosines: tuple[Row, ...]
    norms: tuple[float, ...]
    sum_norms: tuple[float, float]
    touched: tuple[float, float]
    expected_touched: tuple[float, float]
    notes: tuple[str, ...] = field(default=())

    def arm(self, name: str, classifier: str, statistics: str) -> Arm:
        """Give one arm.

        Raises:
            KeyError: there is none such.
        """
        for one in self.arms:
            if (one.id, one.classifier, one.statistics) == (name, classifier, statistics):
                return one
        raise KeyError((name, classifier, statistics))

    def as_json(self) -> dict[str, Any]:
        """Give plain data for JSON, with the summaries of each arm."""
        data: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        for arm, plain in zip(self.arms, data["arms"], strict=True):
            plain |= {"last": arm.last, "average": arm.average, "forgetting": arm.forgetting}
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> GrowResult:
        """Build one again from ``as_json``."""
        arms = []
        for one in data["arms"]:
            plain = {name: one[name] for name in ("id", "title", "classifier", "statistics")}
            arms.append(Arm(**plain, matrix=_rows(one["matrix"]), curve=tuple(one["curve"])))
        tasks = [StoredTask(**{**one, "classes": tuple(one["classes"])}) for one in data["tasks"]]
        return cls(
            tasks=tuple(tasks),
            arms=tuple(arms),
            cosines=_rows(data["cosines"]),
            thinned_cosines=_rows(data["thinned_cosines"]),
            norms=tuple(data["norms"]),
            sum_norms=(data["sum_norms"][0], data["sum_norms"][1]),
            touched=(data["touched"][0], data["touched"][1]),
            expected_touched=(data["expected_touched"][0], data["expected_touched"][1]),
            notes=tuple(data["notes"]),
        )


def _rows(rows: list[list[float | None]]) -> tuple[Row, ...]:
    return tuple(tuple(row) for row in rows)
