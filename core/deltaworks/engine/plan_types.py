"""A plan: what a job will do and cost, from headers alone and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One unit of work, usually one tensor.

    Args:
        id: unique in the plan; also its name in the journal.
        stage: which stage it belongs to.
        read_bytes: bytes read from inputs.
        write_bytes: bytes written at most.
        peak_bytes: bytes held in memory while it runs.
        after: ids of items that must be finished first.
        tensor: name of the tensor it treats, for messages; empty when it is none.
        rows: part of the first axis it treats, from and to; None for all.
    """

    id: str
    stage: str
    read_bytes: int
    write_bytes: int
    peak_bytes: int
    after: tuple[str, ...] = ()
    tensor: str = ""
    rows: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """One artefact to be written.

    Args:
        path: its final place.
        bytes_low: expected size; ``bytes_high`` is never exceeded by more than the header.
        bytes_high: upper bound, for the disk check.
    """

    path: str
    bytes_low: int
    bytes_high: int


Level = Literal["ok", "note", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at before a merge, and what was found.

    Args:
        subject: families, tensors, dtypes, quantisation, vocabulary, tokenizers, heads,
            adapters or recipe.
        level: a fault keeps the job from running; a warning is for the user to weigh.
        text: one sentence.
    """

    subject: str
    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """Tensors of one layer that are made in the same way.

    Args:
        layer: in the result; None outside of layers.
        tensors: their names inside the layer, or whole names outside of layers.
        method: id; ``copy`` where nothing is merged.
        sources: where they come from, ``a`` or ``a, layer 3`` where it is another one.
        common: options of the method.
        each: options of every source, in their order.
    """

    layer: int | None
    tensors: tuple[str, ...]
    method: str
    sources: tuple[str, ...]
    common: Mapping[str, Any]
    each: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the cost panel, the disk check, the progress bar and the scheduler all read.

    Args:
        title: for people, ``Compress 2 experts with sign``.
        items: in the order of writing.
        outputs: what will be there afterwards.
        original_bytes: bytes of the fine-tuned models as distributed.
        notes: what the user should know before it runs (tensors kept exact, and why).
        checks: what was looked at, of a merge.
        parameters: resolved values, layer by layer, of a merge.
    """

    title: str
    items: tuple[WorkItem, ...]
    outputs: tuple[OutputPlan, ...]
    original_bytes: int = 0
    notes: tuple[str, ...] = field(default=())
    checks: tuple[Check, ...] = field(default=())
    parameters: tuple[ParameterRow, ...] = field(default=())

    @property
    def read_bytes(self) -> int:
        """Bytes read from disk."""
        return sum(item.read_bytes for item in self.items)

    @property
    def write_bytes(self) -> int:
        """Bytes written to disk at most."""
        return sum(output.bytes_high for output in self.outputs)

    @property
    def peak_bytes(self) -> int:
        """Largest single item in memory, beyond the runtime itself."""
        return max((item.peak_bytes for item in self.items), default=0)

    @property
    def work_bytes(self) -> int:
        """What progress counts up to."""
        return sum(item.read_bytes + item.write_bytes for item in self.items)
