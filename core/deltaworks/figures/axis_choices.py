"""What a trade-off can show on each axis, and how a trial's place is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deltaworks.studies.trials import Sweep, Trial

XChoice = Literal["size", "ratio", "bpw"]
YChoice = Literal["quality", "fidelity", "recovered", "accuracy"]

X_TITLES: dict[str, str] = {
    "size": "Delta size",
    "ratio": "Delta size (% of full model)",
    "bpw": "Bits per weight",
}
Y_TITLES: dict[str, str] = {
    "quality": "Quality kept (%)",
    "fidelity": "Fidelity of the weights (%)",
    "recovered": "Recovered fraction (%)",
    "accuracy": "Mean accuracy (%)",
}


@dataclass(frozen=True, slots=True)
class Point:
    """A trial with its place on the plot.

    Args:
        sweep: id of its sweep; ``trial`` the trial.
        x: in the unit of the axis (bytes, fraction, bits).
        y: a fraction.
        is_measured: on data, rather than estimated from weights.
        low: end of its interval; ``high`` the other; None without.
    """

    sweep: str
    trial: Trial
    x: float
    y: float
    is_measured: bool
    low: float | None = None
    high: float | None = None

    @property
    def is_usable(self) -> bool:
        """Whether its trial ended well."""
        return self.trial.state == "done"

    @property
    def key(self) -> tuple[str, int]:
        """What names it everywhere."""
        return self.sweep, self.trial.number


def points_of(sweep: Sweep, x: XChoice, y: YChoice) -> list[Point]:
    """Find the trials that have a place; those without stay rows of the table."""
    found = []
    for trial in sweep.trials:
        if trial.state not in ("done", "failed"):
            continue
        across, (up, is_measured, low, high) = x_of(trial, x), y_of(trial, y)
        if across is not None and up is not None:
            found.append(Point(sweep.id, trial, across, up, is_measured, low, high))
    return found


def x_of(trial: Trial, choice: XChoice) -> float | None:
    """Place a trial on the size axis; None before its size is known."""
    if trial.file_bytes <= 0:
        return None
    if choice == "size":
        return float(trial.file_bytes)
    if choice == "ratio":
        return trial.file_bytes / trial.original_bytes if trial.original_bytes else None
    return trial.bits_per_weight


def y_of(trial: Trial, choice: YChoice) -> tuple[float | None, bool, float | None, float | None]:
    """Find height, whether it was measured, and its interval."""
    if choice == "quality" and trial.quality is not None:
        return trial.quality, bool(trial.measured_on), trial.quality_low, trial.quality_high
    if choice in ("quality", "fidelity"):
        return trial.fidelity, False, None, None
    return measure_of(trial.measures, choice)


def measure_of(
    measures: dict[str, dict[str, object]], choice: YChoice
) -> tuple[float | None, bool, float | None, float | None]:
    """Read one measure from a record's plain data."""
    values = measures.get(choice)
    if values is None:
        return None, False, None, None
    value, low, high = (_number(values.get(name)) for name in ("value", "low", "high"))
    return value, not values.get("is_estimate", False), low, high


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
