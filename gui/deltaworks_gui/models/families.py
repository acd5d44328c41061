"""Families as a tree: a base, its experts, what was made of them. A pure view on branches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import (
    QAbstractItemModel,
    QCoreApplication,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
)

from deltaworks.library.pedigree import Branch, Kin
from deltaworks_gui.formats import format_exact_size, format_number, format_percent, format_size
from deltaworks_gui.models.library_entry import GONE
from deltaworks_gui.models.roles import ModelRole
from deltaworks_gui.widgets.delegates import PaintRole
from deltaworks_gui.widgets.state_cell import ROLE_ICONS

Index = QModelIndex | QPersistentModelIndex
_Role = Qt.ItemDataRole

COLUMNS = ("model", "relation", "confidence", "distance", "size", "quality")
NUMBERS = frozenset({"confidence", "distance", "size", "quality"})
FOUND = "found from weights"


def _tr(text: str) -> str:
    return QCoreApplication.translate("FamilyModel", text)


def relation_word(relation: str) -> str:
    """A relation's name for people."""
    words = {
        "declared": _tr("declared"),
        FOUND: _tr("found from weights"),
        "made here": _tr("made here"),
        "set by you": _tr("set by you"),
    }
    return words.get(relation, relation)


def is_proposal(kin: Kin | None) -> bool:
    """Whether the user may still confirm or reject it."""
    return kin is not None and kin.relation == FOUND and not kin.is_confirmed


@dataclass(frozen=True, slots=True)
class Node:
    """A branch and where it stands.

    Args:
        branch: what it shows.
        parent: number of the node above; -1 for a family's head.
        place: among its siblings.
        children: numbers of the nodes below.
    """

    branch: Branch
    parent: int
    place: int
    children: tuple[int, ...]


class FamilyModel(QAbstractItemModel):
    """Nodes are numbered from 1; an index carries its node's number."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._nodes: dict[int, Node] = {}
        self._heads: tuple[int, ...] = ()

    def show_branches(self, branches: Sequence[Branch]) -> None:
        """Show other families in place of what is there."""
        self.beginResetModel()
        self._nodes = {}
        self._heads = self._add(branches, 0)
        self.endResetModel()

    def _add(self, branches: Sequence[Branch], parent: int) -> tuple[int, ...]:
        numbers = []
        for place, branch in enumerate(branches):
            number = len(self._nodes) + 1
            self._nodes[number] = Node(branch, parent, place, ())
            below = self._add(branch.children, number)
            self._nodes[number] = Node(branch, parent, place, below)
            numbers.append(number)
        return tuple(numbers)

    def branch_at(self, index: Index) -> Branch | None:
        """What an index shows."""
        return self._nodes[index.internalId()].branch if index.isValid() else None

    def indexes(self) -> Iterator[QModelIndex]:
        """Every node's first cell, parents before children."""
        for number, node in self._nodes.items():
            yield self.createIndex(node.place, 0, number)

    def index(self, row: int, column: int, parent: Index = QModelIndex()) -> QModelIndex:  # noqa: B008 - Qt's signature
        """The node at a place under another."""
        below = self._below(parent)
        if not (0 <= row < len(below) and 0 <= column < len(COLUMNS)):
            return QModelIndex()
        return self.createIndex(row, column, below[row])

    def parent(self, index: Index) -> QModelIndex:  # type: ignore[override]  # the other overload is QObject's
        """The node above."""
        above = self._nodes[index.internalId()].parent if index.isValid() else 0
        return self.createIndex(self._nodes[above].place, 0, above) if above else QModelIndex()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """How many nodes stand below."""
        return 0 if parent.isValid() and parent.column() > 0 else len(self._below(parent))

    def columnCount(self, _parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        """As many as ``COLUMNS``."""
        return len(COLUMNS)

    def _below(self, parent: Index) -> tuple[int, ...]:
        return self._nodes[parent.internalId()].children if parent.isValid() else self._heads

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = _Role.DisplayRole
    ) -> Any:
        """The titles of the columns."""
        if orientation is not Qt.Orientation.Horizontal:
            return None
        if role == _Role.DisplayRole:
            return _titles()[COLUMNS[section]]
        if role == _Role.TextAlignmentRole and COLUMNS[section] in NUMBERS:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: Index, role: int = _Role.DisplayRole) -> Any:
        """What a cell says."""
        branch = self.branch_at(index)
        if branch is None:
            return None
        column = COLUMNS[index.column()]
        if role == _Role.DisplayRole:
            return _text(branch, column)
        if role == _Role.AccessibleTextRole:
            badges = _badges(branch) if column == "model" else ()
            return ", ".join((_text(branch, column), *badges))
        if role == _Role.ToolTipRole:
            return _tip(branch, column)
        if role == ModelRole.ID:
            return branch.row.id
        if role == PaintRole.BADGES:
            return _badges(branch) if column == "model" else ()
        if role == PaintRole.ICON and column == "model":
            return ROLE_ICONS.get(branch.row.role.casefold(), "unknown")
        if role == PaintRole.TONE:
            return _tone(branch, column)
        if role == PaintRole.STRONG:
            return column == "model" and branch.kin is None
        return None


def _text(branch: Branch, column: str) -> str:
    row, kin = branch.row, branch.kin
    if column == "model":
        return row.name
    if column == "size":
        return "" if branch.is_link else format_size(row.size_bytes)
    if column == "quality":
        near = "≈ " if row.quality_is_estimate else ""
        return near + format_percent(row.quality) if row.quality is not None else ""
    if kin is None:
        return ""
    if column == "relation":
        return relation_word(kin.relation)
    if column == "confidence":
        return format_percent(kin.confidence, 0)
    return "" if kin.distance is None else format_number(kin.distance)


def _tip(branch: Branch, column: str) -> str:
    tips = {
        "model": branch.row.path,
        "size": format_exact_size(branch.row.size_bytes),
        "quality": branch.row.quality_how,
        "relation": _tr("A proposal: Enter confirms it, Del rejects it.")
        if is_proposal(branch.kin)
        else "",
        "distance": _tr("Norm of the difference over the norm of the base, median of the matrices"),
    }
    return tips.get(column) or _text(branch, column)


def _badges(branch: Branch) -> tuple[str, ...]:
    badges = [_tr("shown above")] if branch.is_link else []
    if branch.kin is not None and branch.kin.relation == FOUND and branch.kin.is_confirmed:
        badges.append(_tr("confirmed"))
    return tuple(badges)


def _tone(branch: Branch, column: str) -> str:
    if branch.is_link or branch.row.state in GONE:
        return "text-3"
    if column == "relation" and is_proposal(branch.kin):
        return "warn"
    return "text" if column in {"model", "size", "quality"} else "text-2"


def _titles() -> dict[str, str]:
    return {
        "model": _tr("Model"),
        "relation": _tr("Relation"),
        "confidence": _tr("Confidence"),
        "distance": _tr("Distance"),
        "size": _tr("Size"),
        "quality": _tr("Quality"),
    }
