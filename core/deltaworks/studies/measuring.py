"""How the trials of a sweep are measured: on data where there is some, else by weights."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from deltaworks.errors import AppError, CancelledError
from deltaworks.progress import JobControl, Warned
from deltaworks.studies.trials import Reference

if TYPE_CHECKING:
    from deltaworks.checkpoints.checkpoint import Checkpoint
    from deltaworks.evaluation import Evaluator, Suite

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found about one delta file.

    Args:
        quality: share of the expert's quality that is kept; None when not measured.
        low: end of its interval; ``high`` the other.
        measured_on: how, for people; empty when not measured.
        measures: every measure by id, as plain data.
    """

    quality: float | None = None
    low: float | None = None
    high: float | None = None
    measured_on: str = ""
    measures: dict[str, dict[str, Any]] | None = None


class Measurer(Protocol):
    """Measures the results of one expert."""

    def references(self) -> list[Reference]:
        """Give the lines to hold points against."""

    def measure(self, result: Checkpoint, control: JobControl) -> Outcome:
        """Measure one delta file opened over its base."""


class Estimator:
    """Nothing to measure on: quality is estimated from the weights alone."""

    def __init__(self, expert: Checkpoint, name: str) -> None:
        self._expert, self._name = expert, name

    def references(self) -> list[Reference]:
        """Give the full expert; the base has lost all of the delta."""
        size = self._expert.identity.size_bytes
        return [
            Reference("expert", self._name, "full expert", size, 1.0),
            Reference("base", self._name, "base alone", size, 0.0),
        ]

    def measure(self, result: Checkpoint, control: JobControl) -> Outcome:  # noqa: ARG002
        """Measure nothing."""
        return Outcome()


class DataMeasurer:
    """Measures by running the model on an evaluation set."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator

    def references(self) -> list[Reference]:
        """Give expert and base as they were measured."""
        return [Reference(**facts) for facts in self.evaluator.references()]

    def measure(self, result: Checkpoint, control: JobControl) -> Outcome:
        """Swap the result's weights in and measure it."""
        measures = self.evaluator.measure(result, control)
        plain = {name: measure.as_json() for name, measure in measures.items()}
        quality = self.evaluator.quality(measures)
        if quality is None:
            return Outcome(measures=plain)
        return Outcome(quality.value, quality.low, quality.high, quality.measured_on, plain)


def make_measurer(
    base: Checkpoint,
    expert: Checkpoint,
    name: str,
    suite: Suite | None,
    control: JobControl,
    *,
    device: str,
    like: Measurer | None,
) -> Measurer:
    """Load what measures one expert's results; say so when only an estimate is possible.

    Args:
        base: stays open as long as the measurer is used.
        expert: likewise.
        name: of the expert, for labels.
        suite: None for estimates.
        control: Stop, pause, warnings.
        device: where to compute.
        like: measurer of another expert of the same base; not used afterwards.
    """
    if suite is None:
        return Estimator(expert, name)
    from deltaworks.evaluation import SWEEP, Evaluator

    try:
        evaluator = Evaluator(
            base,
            expert,
            suite,
            control=control,
            device="cpu" if device == "auto" else device,
            effort=SWEEP,
            like=like.evaluator if isinstance(like, DataMeasurer) else None,
            expert_name=name,
        )
    except CancelledError:
        raise
    except AppError as error:
        control.report(Warned(f"quality is estimated from the weights alone: {error}", name))
        return Estimator(expert, name)
    if evaluator.reason:
        text = f"quality is estimated from the weights alone: {evaluator.reason}"
        control.report(Warned(text, name))
        return Estimator(expert, name)
    return DataMeasurer(evaluator)
