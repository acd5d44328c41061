"""A comparison of merges, as plain data that files, tables and plots share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

EntryState = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Score:
    """How a model does on one task: a share of right answers with its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One method at one setting.

    Args:
        number: from 1, in the order of the recipe; trials of a search come after.
        method: id; ``title`` its name, ``group`` its class.
        settings: what tells it from its siblings, for people.
        options: all of them; ``each`` those of every expert.
        each: one record for all experts, or one for each of them.
        pre: sparsifier of the changes, as in the recipe; None without one.
        switches: whether it gives a model for each expert: then every task is done by the
            model of its own expert.
        origin: ``grid``, or ``search`` for one that a search found.
        scores: by task.
        average: mean over tasks.
        normalised: mean over tasks of the score as a share of the task's own expert's.
        geometry: how the change lies among the experts'; see ``merge_geometry``.
        seconds: processor time of merging.
        peak_bytes: planned memory of the largest item.
        n_bytes: bytes of the result, with masks where it switches.
        artefact: folder of the kept model.
        reason: why it failed.
    """

    number: int
    method: str
    title: str
    group: str
    settings: str
    options: dict[str, Any]
    each: list[dict[str, Any]] = field(default_factory=list)
    pre: dict[str, Any] | None = None
    switches: bool = False
    origin: Literal["grid", "search"] = "grid"
    state: EntryState = "waiting"
    scores: dict[str, Score] = field(default_factory=dict)
    average: float | None = None
    normalised: float | None = None
    geometry: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    peak_bytes: int = 0
    n_bytes: int = 0
    artefact: str = ""
    winner: bool = False
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """Give plain data for JSON and for ``Measured`` events."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Line:
    """A model that merges are held against: the base, or one expert alone.

    Args:
        id: ``base`` or ``expert``.
        name: for people.
        scores: by task.
        average: mean over tasks.
        normalised: as in ``Entry``.
        own_task: the task that the expert gained most on; empty for the base.
    """

    id: str
    name: str
    scores: dict[str, Score]
    average: float | None
    normalised: float | None = None
    own_task: str = ""


@dataclass(frozen=True, slots=True)
class SearchTrial:
    """One step of a search.

    Args:
        number: from 1.
        method: id.
        values: the coefficients that were tried.
        score: mean over tasks, on the items for choosing.
        is_best: whether nothing before was better.
    """

    number: int
    method: str
    values: dict[str, float]
    score: float | None
    is_best: bool = False


@dataclass(frozen=True, slots=True)
class Contest:
    """A comparison as a record: in the report, on disk and in the window.

    Args:
        id: unique, sortable by time.
        tasks: ids to titles.
        entries: every method and setting.
        lines: base and single experts.
        experts_average: mean over tasks of their own experts' scores.
        skipped: methods that were left out, and why.
        search: what the search tried, in order.
        winner: number of the best entry that is one model for all tasks; 0 for none.
        data: what was measured on, for people.
    """

    id: str
    title: str
    created: str
    base: str
    base_path: str
    experts: tuple[str, ...]
    tasks: dict[str, str] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    lines: tuple[Line, ...] = ()
    experts_average: float | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    search: tuple[SearchTrial, ...] = ()
    winner: int = 0
    state: str = "running"
    data: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Give plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Contest:
        """Build a contest again from ``as_json``; fields of newer versions are passed over."""
        values = _known(cls, data)
        values["experts"] = tuple(values["experts"])
        values["entries"] = tuple(entry_from_json(one) for one in data["entries"])
        values["lines"] = tuple(
            Line(**{**_known(Line, one), "scores": _scores(one)}) for one in data["lines"]
        )
        values["search"] = tuple(SearchTrial(**_known(SearchTrial, one)) for one in data["search"])
        return cls(**values)

    @property
    def best(self) -> Entry | None:
        """The winner."""
        return next((entry for entry in self.entries if entry.number == self.winner), None)


def entry_from_json(data: Mapping[str, Any]) -> Entry:
    """Read one entry of an event."""
    return Entry(**{**_known(Entry, data), "scores": _scores(data)})


def _scores(data: Mapping[str, Any]) -> dict[str, Score]:
    return {task: Score(**_known(Score, one)) for task, one in data["scores"].items()}


def _known(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in values.items() if name in names}
