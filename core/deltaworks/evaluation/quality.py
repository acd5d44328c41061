"""One number for how much of an expert is kept, and how it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deltaworks.evaluation.measures import Measure


@dataclass(frozen=True, slots=True)
class Quality:
    """Share of the expert's quality that a result keeps.

    Args:
        value: 1 is the expert itself; may exceed 1.
        low: end of the 95 % interval; the expert's own score counts as fixed.
        high: other end.
        measured_on: measure, data and n, for people.
    """

    value: float
    low: float | None
    high: float | None
    measured_on: str


def quality_of(
    measures: Mapping[str, Measure], expert: Mapping[str, Measure], own_task: str | None
) -> Quality | None:
    """Choose the best available yardstick, the same for every result of an expert.

    Accuracy on the expert's own task over the expert's; else the recovered fraction;
    else the mean accuracy over the expert's; None when there is none of them.
    """
    if own_task is not None:
        return _kept(measures.get(f"accuracy:{own_task}"), expert[f"accuracy:{own_task}"])
    fraction = measures.get("recovered")
    if fraction is not None:
        where = f"recovered fraction on {fraction.data}"
        return Quality(fraction.value, fraction.low, fraction.high, where)
    return _kept(measures.get("accuracy"), expert.get("accuracy"))


def _kept(measure: Measure | None, whole: Measure | None) -> Quality | None:
    if measure is None or whole is None or whole.value <= 0.0:
        return None
    low, high = (None if end is None else end / whole.value for end in (measure.low, measure.high))
    kind = "mean accuracy" if measure.id == "accuracy" else "accuracy"
    return Quality(measure.value / whole.value, low, high, f"{kind} on {measure.data}")
