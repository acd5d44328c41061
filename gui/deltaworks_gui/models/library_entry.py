"""What the Library's table says of a model: columns, texts, tips, what to sort by."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from PySide6.QtCore import QCoreApplication, Qt

from deltaworks.library.rows import ModelRow, State
from deltaworks_gui.formats import (
    format_ago,
    format_count,
    format_exact_size,
    format_moment,
    format_percent,
    format_size,
)
from deltaworks_gui.widgets.delegates import PaintRole
from deltaworks_gui.widgets.state_cell import ROLE_ICONS

COLUMNS = (
    "name",
    "role",
    "family",
    "params",
    "dtype",
    "size",
    "saved",
    "quality",
    "safety",
    "state",
    "modified",
    "used",
    "location",
    "arch",
    "licence",
    "source",
    "hash",
    "tags",
)
NUMBERS = frozenset({"params", "size", "saved", "quality"})
GONE = frozenset({State.MISSING, State.OFFLINE})
"""States of models whose files are not there now: kept, but greyed."""

STATE_IDS = {
    State.READY: "ready",
    State.SCANNING: "scanning",
    State.MISSING: "missing",
    State.INCOMPLETE: "incomplete",
    State.UNREADABLE: "unreadable",
    State.UNSAFE: "unsafe",
    State.CHANGED: "changed",
    State.DUPLICATE: "duplicate",
    State.OFFLINE: "offline",
    State.IN_USE: "in-use",
}


def _tr(text: str) -> str:
    return QCoreApplication.translate("LibraryModel", text)


class Entry:
    """A row and its strings, each made when it is first shown."""

    def __init__(self, row: ModelRow) -> None:
        self.row = row

    @cached_property
    def texts(self) -> dict[str, str]:
        """What the cells say."""
        row = self.row
        near = "≈ " if row.quality_is_estimate else ""
        return {
            "name": row.name,
            "role": row.role,
            "family": row.family or ("?" if row.role == "Unknown" else ""),
            "params": format_count(row.n_parameters),
            "dtype": row.dtype,
            "size": format_size(row.size_bytes),
            "saved": format_size(row.saved_bytes),
            "quality": near + format_percent(row.quality) if row.quality is not None else "",
            "safety": row.safety,
            "state": row.state.value,
            "modified": format_ago(row.modified_ns / 1e9),
            "used": format_ago(row.used_ns / 1e9) if row.used_ns else "",
            "location": row.path,
            "arch": row.arch,
            "licence": row.licence,
            "source": row.source,
            "hash": row.content[:12],
            "tags": ", ".join(row.tags),
        }

    @cached_property
    def tips(self) -> dict[str, str]:
        """What the cells say when pointed at; the text itself where nothing is given."""
        row = self.row
        shared = format_size(row.shared_bytes)
        size = format_exact_size(row.size_bytes)
        if row.shared_bytes:
            size = _tr("{0}, of which {1} are shared with other models").format(size, shared)
        return {
            "name": row.path,
            "size": size,
            "saved": format_exact_size(row.saved_bytes),
            "quality": row.quality_how,
            "state": row.reason or row.state.value,
            "modified": format_moment(row.modified_ns / 1e9),
            "used": format_moment(row.used_ns / 1e9) if row.used_ns else "",
            "hash": row.content,
        }

    @cached_property
    def badges(self) -> tuple[str, ...]:
        """Pills after the name."""
        exact = {True: (_tr("bit-exact"),), False: (_tr("lossy"),), None: ()}[self.row.is_exact]
        return (*exact, _tr("set by you")) if self.row.role_is_set else exact


KEYS: dict[str, Callable[[ModelRow], Any]] = {
    "params": lambda row: row.n_parameters,
    "size": lambda row: row.size_bytes,
    "saved": lambda row: row.saved_bytes,
    "quality": lambda row: row.quality,
    "modified": lambda row: row.modified_ns,
    "used": lambda row: row.used_ns,
    "role": lambda row: None if row.role == "Unknown" else row.role.casefold(),
    "family": lambda row: row.family.casefold() or None,
    "dtype": lambda row: row.dtype or None,
    "safety": lambda row: row.safety or None,
    "state": lambda row: row.state.value,
    "location": lambda row: row.path,
    "arch": lambda row: row.arch or None,
    "licence": lambda row: row.licence or None,
    "source": lambda row: row.source,
    "hash": lambda row: row.content or None,
    "tags": lambda row: ", ".join(row.tags) or None,
    "name": lambda row: row.name.casefold(),
}


def sorted_entries(entries: list[Entry], column: str, order: Qt.SortOrder) -> list[Entry]:
    """Sort by a column's raw values; unknown ones last both ways, ties by name."""
    key, reverse = KEYS[column], order is Qt.SortOrder.DescendingOrder
    by_name = sorted(entries, key=lambda entry: (entry.row.name.casefold(), entry.row.path))
    known = [entry for entry in by_name if key(entry.row) is not None]
    unknown = [entry for entry in by_name if key(entry.row) is None]
    return sorted(known, key=lambda entry: key(entry.row), reverse=reverse) + unknown


def paint_data(entry: Entry, column: str, role: int) -> Any:
    """What a cell gives its delegate beside its text."""
    if column == "name":
        if role == PaintRole.ICON:
            return ROLE_ICONS.get(entry.row.role.casefold(), "unknown")
        if role == PaintRole.BADGES:
            return entry.badges
    if role == PaintRole.FOLDED:
        return column == "location"
    if role == PaintRole.TONE:
        if entry.row.state in GONE:
            return "text-3"
        if column == "saved":
            return "good"
        return "text" if column in {"name", "params", "size", "quality"} else "text-2"
    return None


def column_titles() -> dict[str, str]:
    """Id to title."""
    return {
        "name": _tr("Name"),
        "role": _tr("Role"),
        "family": _tr("Family"),
        "params": _tr("Parameters"),
        "dtype": _tr("Type"),
        "size": _tr("On disk"),
        "saved": _tr("Saved"),
        "quality": _tr("Quality"),
        "safety": _tr("Safety"),
        "state": _tr("State"),
        "modified": _tr("Modified"),
        "used": _tr("Last used"),
        "location": _tr("Location"),
        "arch": _tr("Architecture"),
        "licence": _tr("Licence"),
        "source": _tr("Source"),
        "hash": _tr("Content hash"),
        "tags": _tr("Tags"),
    }
