"""Points of a sweep, as plain data that files, tables and plots share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

TrialState = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One expert, one method, one setting.

    Args:
        number: from 1, in the order of the recipe.
        expert: name for people; ``expert_path`` its place.
        method: id; ``title`` its name.
        options: all of them.
        settings: the options that tell this trial from its siblings, for people.
        file_bytes: size of the delta file; 0 before it is known.
        original_bytes: size of the expert's weight files.
        bits_per_weight: ``bpp_model`` of the artefact.
        fidelity: 1 - relative squared error of the delta, in (-inf, 1].
        quality: share of the expert's quality that is kept, 1 is all; None before.
        quality_low: end of its interval; ``quality_high`` the other.
        measured_on: how quality was measured, for people; empty for estimates.
        measures: every measure by id, as ``Measure.as_json``.
        artefact: path of the delta file; empty when it was not kept.
        reason: why it failed, one sentence.
    """

    number: int
    expert: str
    expert_path: str
    method: str
    title: str
    options: dict[str, Any]
    settings: str = ""
    state: TrialState = "waiting"
    file_bytes: int = 0
    original_bytes: int = 0
    bits_per_weight: float | None = None
    fidelity: float | None = None
    quality: float | None = None
    quality_low: float | None = None
    quality_high: float | None = None
    measured_on: str = ""
    is_exact: bool = False
    measures: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    peak_bytes: int = 0
    artefact: str = ""
    on_front: bool = False
    recommended: bool = False
    kept: bool = False
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """Give plain data for JSON and for ``Measured`` events."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Reference:
    """A line to hold the points against.

    Args:
        id: ``expert`` or ``base``.
        expert: which expert it belongs to.
        label: for people: ``full expert, 97.2 % of 400 sums``.
        file_bytes: size of the full model.
        quality: 1 for the expert itself; the base's score on the same scale.
        measures: as in ``Trial``.
    """

    id: str
    expert: str
    label: str
    file_bytes: int
    quality: float | None
    measures: dict[str, dict[str, Any]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Give plain data for JSON and for ``Measured`` events."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep as a record: in the report, on disk and in the window.

    Args:
        id: unique, sortable by time.
        title: for people.
        state: of the whole.
        created: ISO time, UTC.
        base: name of the base; ``base_path`` its place.
        rule: why a point is recommended, in words.
    """

    id: str
    title: str
    created: str
    base: str
    base_path: str
    trials: tuple[Trial, ...]
    references: tuple[Reference, ...] = ()
    state: str = "running"
    rule: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Give plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Sweep:
        """Build a sweep again from ``as_json``, as files, reports and events hold it.

        Fields that a newer version added are passed over.
        """
        trials = tuple(trial_from_json(trial) for trial in data["trials"])
        references = tuple(reference_from_json(one) for one in data["references"])
        return cls(**{**_known(cls, data), "trials": trials, "references": references})


def trial_from_json(values: Mapping[str, Any]) -> Trial:
    """Read one trial of an event."""
    return Trial(**_known(Trial, values))


def reference_from_json(values: Mapping[str, Any]) -> Reference:
    """Read one reference of an event."""
    return Reference(**_known(Reference, values))


def _known(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in values.items() if name in names}
