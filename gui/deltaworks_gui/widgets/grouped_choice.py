"""A choice whose list has headings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QSize, Qt, Slot
from PySide6.QtGui import QPainter, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem, QWidget

from deltaworks_gui.theme import LINE, SPACE_S, current_theme
from deltaworks_gui.widgets.choice_field import ChoiceField

_VISIBLE = 18


@dataclass(frozen=True, slots=True)
class ChoiceGroup:
    """Choices under a heading; without a title they stand alone.

    Args:
        title: the heading.  tip: its tooltip.
        choices: id and text of each.
    """

    title: str
    tip: str
    choices: tuple[tuple[str, str], ...]


class GroupedChoice(ChoiceField):
    """A ``ChoiceField`` with headings that cannot be chosen, and entries that look greyed.

    A greyed entry can still be chosen: the page then says what it lacks.
    """

    def __init__(
        self, *, object_name: str = "", accessible_name: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(object_name=object_name, accessible_name=accessible_name, parent=parent)
        self._groups: tuple[ChoiceGroup, ...] = ()
        self._greyed: frozenset[str] = frozenset()
        self.setMaxVisibleItems(_VISIBLE)
        self.setItemDelegate(_Headings(self))
        current_theme().changed.connect(self._tint)

    def show_groups(self, groups: Sequence[ChoiceGroup]) -> None:
        """Offer these; the caller chooses one afterwards."""
        if tuple(groups) == self._groups:
            return
        self._groups = tuple(groups)
        model = QStandardItemModel(self)
        for group in groups:
            if group.title:
                heading = QStandardItem(group.title)
                heading.setFlags(Qt.ItemFlag.NoItemFlags)
                heading.setToolTip(group.tip)
                model.appendRow(heading)
            for choice_id, text in group.choices:
                item = QStandardItem(text)
                item.setData(choice_id, Qt.ItemDataRole.UserRole)
                model.appendRow(item)
        blocked = self.blockSignals(True)
        self.setModel(model)
        self.setCurrentIndex(-1)
        self.blockSignals(blocked)
        self._tint()

    def show_tips(self, tips: Mapping[str, str], greyed: Sequence[str]) -> None:
        """Say something of each choice by id, and grey those that cannot run yet."""
        for choice_id, tip in tips.items():
            self.setItemData(self.findData(choice_id), tip, Qt.ItemDataRole.ToolTipRole)
        self._greyed = frozenset(greyed)
        self._tint()

    @Slot()
    def _tint(self) -> None:
        theme = current_theme()
        for place in range(self.count()):
            choice = self.itemData(place)
            if choice is None:
                self.setItemData(place, theme.font("caption"), Qt.ItemDataRole.FontRole)
            tone = "text-3" if choice in self._greyed else "text"
            tone = "text-2" if choice is None else tone
            self.setItemData(place, theme.color(tone), Qt.ItemDataRole.ForegroundRole)


class _Headings(QStyledItemDelegate):
    """A line over every heading but the first, and room for it."""

    def sizeHint(
        self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> QSize:
        """A heading is a little higher than an entry."""
        hint = super().sizeHint(option, index)
        return hint + QSize(0, SPACE_S) if _is_heading(index) else hint

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        """As usual, with the line."""
        super().paint(painter, option, index)
        if _is_heading(index) and index.row():
            room = option.rect
            color = current_theme().color("line")
            painter.fillRect(room.left(), room.top(), room.width(), LINE, color)


def _is_heading(index: QModelIndex | QPersistentModelIndex) -> bool:
    return index.data(Qt.ItemDataRole.UserRole) is None
