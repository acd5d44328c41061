"""What the Workbench holds, as frozen records. No widgets here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from PySide6.QtCore import QT_TRANSLATE_NOOP

from deltaworks.engine.plan_types import Check, ParameterRow
from deltaworks.library.rows import Match, ModelRow, State
from deltaworks.methods import COMPRESSION, MERGING, SAFETY
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Method
from deltaworks.methods.safety_record import SafetyMethod
from deltaworks.options import OptionInfo, Options, describe
from deltaworks.recipes.schema import Keep
from deltaworks.studies.defaults import default_settings
from deltaworks_gui.lanes.jobs import Lane
from deltaworks_gui.pages.workbench_forms import (
    CompressResult,
    ExpertTexts,
    MergeResult,
    RepairResult,
    RepairTexts,
)
from deltaworks_gui.widgets.option_values import list_text

TRIAL_CAP = 64

_UNUSABLE = frozenset({State.MISSING, State.OFFLINE, State.UNREADABLE, State.UNSAFE})


@dataclass(frozen=True, slots=True)
class Slot:
    """A further model that an operation takes.

    Args:
        id: its name in the recipe.
        title: with its icon; translated in context ``Workbench``.
        hint: one line while it is empty.
    """

    id: str
    title: str
    icon: str
    hint: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One segment of the switch.

    Args:
        id: of the recipe it makes.
        title: translated in context ``Workbench``.
        methods: what it offers, by id.
        default_method: the one chosen first.
        compared: methods that a sweep also tries until the user says otherwise.
        can_sweep: whether options may stand as lists and results are measured.
        result: what else the job may be told.
        base: caption and invitation of the base's slot.
        experts: caption of the list.
        slots: further models that it takes.
        given: further inputs, such as files; None for none.
    """

    id: str
    title: str
    methods: Mapping[str, Method]
    default_method: str
    result: type[Options]
    compared: tuple[str, ...] = ()
    can_sweep: bool = False
    base: tuple[str, str] = (
        str(QT_TRANSLATE_NOOP("Workbench", "&Base")),
        str(QT_TRANSLATE_NOOP("Workbench", "Drop the model that the experts were tuned from.")),
    )
    experts: str = str(QT_TRANSLATE_NOOP("Workbench", "E&xperts"))
    slots: tuple[Slot, ...] = ()
    given: type[Options] | None = None


_REPAIR_SLOTS = (
    Slot(
        "unaligned",
        str(QT_TRANSLATE_NOOP("Workbench", "Unaligned model")),
        "expert",
        str(QT_TRANSLATE_NOOP("Workbench", "The aligned one, tuned until it refuses nothing.")),
    ),
    Slot(
        "pretrained",
        str(QT_TRANSLATE_NOOP("Workbench", "Pretrained base")),
        "base",
        str(QT_TRANSLATE_NOOP("Workbench", "The model before it was aligned.")),
    ),
    Slot(
        "sibling",
        str(QT_TRANSLATE_NOOP("Workbench", "Safe sibling")),
        "repaired",
        str(QT_TRANSLATE_NOOP("Workbench", "Another fine-tune that was tuned to be safe.")),
    ),
)

OPERATIONS: Mapping[str, Operation] = {
    one.id: one
    for one in (
        Operation(
            "compress",
            str(QT_TRANSLATE_NOOP("Workbench", "Compress")),
            COMPRESSION,
            "low-rank",
            CompressResult,
            ("sign", "delta-dct", "lossless"),
            can_sweep=True,
        ),
        Operation(
            "merge", str(QT_TRANSLATE_NOOP("Workbench", "Merge")), MERGING, "ties", MergeResult
        ),
        Operation(
            "repair",
            str(QT_TRANSLATE_NOOP("Workbench", "Safety repair")),
            SAFETY,
            "safe-delta",
            RepairResult,
            ("interpolation",),
            can_sweep=True,
            base=(
                str(QT_TRANSLATE_NOOP("Workbench", "Aligned &model")),
                str(QT_TRANSLATE_NOOP("Workbench", "Drop the parent that still refuses.")),
            ),
            experts=str(QT_TRANSLATE_NOOP("Workbench", "Fine-tune to &repair")),
            slots=_REPAIR_SLOTS,
            given=RepairTexts,
        ),
    )
}
"""Every operation that exists, in the order of the switch."""


@cache
def infos_of(options: type[Options]) -> tuple[OptionInfo, ...]:
    """The options of a class; their schema is built once."""
    return describe(options)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen in one form.

    Args:
        values: by option; what is not named has its default.
        sweeps: lists as written, by option.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    sweeps: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Guard:
    """What is known about an expert and its base.

    Args:
        match: evidence; None before there is any.
        is_final: weights were compared, or cannot be.
        error: why it could not be told.
        anyway: the user wants it although it is doubtful.
    """

    match: Match | None = None
    is_final: bool = False
    error: str = ""
    anyway: bool = False

    @property
    def level(self) -> str:
        """``checking``, ``match``, ``likely``, ``doubtful``, ``mismatch`` or ``unreadable``."""
        if self.error:
            return "unreadable"
        if self.match is None:
            return "checking"
        # Shapes alone refute; they never confirm.
        return self.match.level if self.is_final or self.match.level == "mismatch" else "checking"


@dataclass(frozen=True, slots=True)
class ExpertInput:
    """One expert in the list.

    Args:
        row: the model.
        is_on: whether it takes part.
        options: its own options of a merge, by name.
        guard: None while there is no base to compare with.
    """

    row: ModelRow
    is_on: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    guard: Guard | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What the job would cost, in bytes; ``error`` says why nothing is known.

    Args:
        read: from inputs.  write: at most.  work: what progress counts.
        low: expected size of the smallest result; ``high`` of the largest.
        original: of one expert, to compare with; 0 when unknown.
        peak: memory at once.
        disk_free: where the result goes; ``disk_total`` of that volume.
        memory_free: of the lane; ``memory_total`` likewise.
        notes: what the plan says.
        checks: what was looked at before a merge; ``parameters`` its values, layer by layer.
    """

    read: int = 0
    write: int = 0
    work: int = 0
    low: int = 0
    high: int = 0
    original: int = 0
    peak: int = 0
    disk_free: int = 0
    disk_total: int = 0
    memory_free: int = 0
    memory_total: int = 0
    notes: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    parameters: tuple[ParameterRow, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class WorkbenchState:
    """Everything the page shows.

    Args:
        chosen: what was chosen of each method, by its id.
        compared: other methods that the sweep tries.
        results: what was chosen of each operation's result, by its id.
        extras: further models of the operation, by slot.
        evaluation: folder or file to measure on; empty for weights only.
        evaluations: what is offered, id and text.
        presets: the user's own, by method and name.
        many_allowed: more trials than the cap are wanted.
        memory_allowed: it is wanted although it will not fit.
        cost: None before the first plan; ``is_planning`` while a newer one is made.
        seconds: expected shortest and longest time; None before the first job.
        why_not: why it cannot run, one sentence.
    """

    operation: str = "compress"
    base: ModelRow | None = None
    experts: tuple[ExpertInput, ...] = ()
    methods: Mapping[str, str] = field(
        default_factory=lambda: {one.id: one.default_method for one in OPERATIONS.values()}
    )
    chosen: Mapping[str, Chosen] = field(default_factory=dict)
    compared: tuple[str, ...] = tuple(
        method for one in OPERATIONS.values() for method in one.compared
    )
    extras: Mapping[str, ModelRow] = field(default_factory=dict)
    results: Mapping[str, Chosen] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Chosen]] = field(default_factory=dict)
    evaluation: str = ""
    evaluations: tuple[tuple[str, str], ...] = ()
    keep: Keep = "front"
    lane: str = "cpu"
    lanes: tuple[Lane, ...] = ()
    cap: int = TRIAL_CAP
    many_allowed: bool = False
    memory_allowed: bool = False
    cost: Cost | None = None
    is_planning: bool = False
    seconds: tuple[float, float] | None = None
    why_not: str = ""

    @property
    def kind(self) -> Operation:
        """The operation's record."""
        return OPERATIONS[self.operation]

    @property
    def method(self) -> Method:
        """The chosen method's record."""
        return self.kind.methods[self.methods[self.operation]]

    @property
    def expert_infos(self) -> tuple[OptionInfo, ...]:
        """Options that every expert has for itself; none but in merges."""
        method = self.method
        if not isinstance(method, MergingMethod):
            return ()
        own = infos_of(method.expert_options)
        return (*own, *infos_of(ExpertTexts)) if reads_texts(method) else own

    @property
    def active(self) -> tuple[ExpertInput, ...]:
        """The experts that take part."""
        return tuple(expert for expert in self.experts if expert.is_on)

    @property
    def tried(self) -> tuple[str, ...]:
        """Methods that run: the chosen one, then those it is compared with."""
        if not self.kind.can_sweep:
            return (self.method.id,)
        others = (one for one in self.kind.methods if one in self.compared)
        return (self.method.id, *(one for one in others if one != self.method.id))

    def of(self, method_id: str) -> Chosen:
        """What was chosen of a method; its declared sweep where nothing was."""
        known = self.chosen.get(method_id)
        return known if known is not None else default_choice(method_id)

    @property
    def given(self) -> Chosen:
        """What was chosen of the operation's further inputs."""
        return self.results.get(f"{self.operation}:given", Chosen())

    @property
    def has(self) -> tuple[str, ...]:
        """Names of the further inputs that are there."""
        files = self.given.values
        models = (slot.id for slot in self.kind.slots if slot.id in self.extras)
        return (*models, *(name for name, value in files.items() if value))

    @property
    def result(self) -> Chosen:
        """What was chosen of the operation's result."""
        return self.results.get(self.operation, Chosen())


@cache
def default_choice(method_id: str) -> Chosen:
    """A method at its defaults, with the lists of the sweep that is offered first."""
    if method_id in SAFETY:
        return _budget_choice(SAFETY[method_id])
    method = COMPRESSION.get(method_id)
    if method is None:
        return Chosen()
    tried: dict[str, list[Any]] = {}
    for setting in default_settings([method_id]):
        for name, value in setting.options.items():
            tried.setdefault(name, []).append(value)
    infos = {info.name: info for info in infos_of(method.options)}
    return Chosen(sweeps={name: list_text(infos[name], values) for name, values in tried.items()})


def _budget_choice(method: SafetyMethod) -> Chosen:
    """A repair at its defaults, with the budgets that it declares."""
    info = next((one for one in infos_of(method.options) if one.name == method.budget), None)
    if info is None or not info.sweep:
        return Chosen()
    return Chosen(sweeps={info.name: list_text(info, list(info.sweep))})


def reads_texts(method: Method) -> bool:
    """Whether texts of each expert's task run through it first."""
    return bool(method.needs.statistics or method.needs.helped_by)


def is_usable(row: ModelRow) -> bool:
    """Whether a model can be an input."""
    return row.state not in _UNUSABLE
