"""What a row of the library is, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ROLES = ("Base", "Expert", "Delta", "Merge", "Repaired", "Unknown")


class State(StrEnum):
    """States of a model, by the words that are shown (interface 5.1.1)."""

    READY = "Ready"
    SCANNING = "Scanning"
    MISSING = "Missing"
    INCOMPLETE = "Incomplete"
    UNREADABLE = "Unreadable"
    UNSAFE = "Unsafe format"
    CHANGED = "Changed"
    DUPLICATE = "Duplicate"
    OFFLINE = "Offline"
    IN_USE = "In use"


USABLE = frozenset({State.READY, State.CHANGED, State.DUPLICATE})
"""States in which a model may be a job's input."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file of a model."""

    path: str
    size_bytes: int
    is_weight: bool


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One checkpoint as the user thinks of it: all shards together.

    Args:
        id: stable number in the index.
        path: folder or file.
        name: for people.
        kind: as ``Checkpoint.kind``; empty when it could not be opened.
        role: one of ``ROLES``; ``role_is_set`` when the user said so.
        family: name of its base; empty when unknown; ``family_id`` that row's id.
        n_parameters: count of numbers; None when unknown.
        dtype: ``BF16`` or ``mixed (BF16, F32)``.
        size_bytes: bytes really used on disk, shared files counted once.
        shared_bytes: of those, bytes that other rows use as well.
        original_bytes: for deltas, the full model they stand for.
        quality: best measured share kept, 1 is all; ``quality_how`` says how.
        state: with ``reason`` saying what and where when it is not Ready.
        modified_ns: newest modification time of its files.
        content: blake3 of the weights once computed.
        is_exact: for deltas, rebuilds bit for bit.
        report: the artefact's report when this machine made it.
    """

    id: int
    path: str
    name: str
    kind: str
    role: str
    state: State
    size_bytes: int
    modified_ns: int
    role_is_set: bool = False
    family: str = ""
    family_id: int | None = None
    n_parameters: int | None = None
    dtype: str = ""
    shared_bytes: int = 0
    original_bytes: int | None = None
    quality: float | None = None
    quality_how: str = ""
    quality_is_estimate: bool = False
    safety: str = ""
    reason: str = ""
    used_ns: int | None = None
    arch: str = ""
    licence: str = ""
    source: str = "local"
    content: str = ""
    tags: tuple[str, ...] = ()
    is_exact: bool | None = None
    method: str = ""
    bits_per_weight: float | None = None
    files: tuple[FileRow, ...] = ()
    root: str = ""
    header: str = ""

    @property
    def saved_bytes(self) -> int | None:
        """Full size minus delta size; None for everything but deltas."""
        if self.role != "Delta" or self.original_bytes is None:
            return None
        return self.original_bytes - self.size_bytes


@dataclass(frozen=True, slots=True)
class Match:
    """Does this expert belong to this base, and how sure are we?

    Args:
        level: ``match``, ``likely``, ``doubtful``, ``mismatch``.
        text: one line for the guard bar.
        common: share of the expert's tensors that fit by name and shape.
        identical: share of compared tensors that are bit-identical.
        distance: median relative distance of compared tensors; None from headers alone.
        offenders: first tensors that do not fit, with both shapes.
        extra_rows: rows of the vocabulary that only one of them has.
        same_tokenizer: None when either has none.
        better: path and name of a base that fits better, when one is known.
    """

    level: str
    text: str
    common: float
    identical: float | None = None
    distance: float | None = None
    offenders: tuple[str, ...] = ()
    extra_rows: int = 0
    same_tokenizer: bool | None = None
    better: tuple[str, str] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The evidence as plain data."""
        return {
            "common": self.common,
            "identical": self.identical,
            "distance": self.distance,
            "extra_rows": self.extra_rows,
            "same_tokenizer": self.same_tokenizer,
        }
