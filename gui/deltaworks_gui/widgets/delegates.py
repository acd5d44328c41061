"""How cells are painted: names with icons and badges, states, numbers, progress.

Models give plain data under ``PaintRole``; delegates look nothing up.
"""

from __future__ import annotations

from enum import IntEnum

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from deltaworks_gui.theme import LINE, SPACE_M, SPACE_S, current_theme, tabular
from deltaworks_gui.widgets.chip import badge_width, paint_badge
from deltaworks_gui.widgets.progress_line import paint_progress
from deltaworks_gui.widgets.state_cell import state_look

Index = QModelIndex | QPersistentModelIndex

_PAD = 10


class PaintRole(IntEnum):
    """What a model may say about a cell beside ``DisplayRole``."""

    ICON = Qt.ItemDataRole.UserRole + 0x200
    """str: an icon's name, drawn before the text."""
    BADGES = Qt.ItemDataRole.UserRole + 0x201
    """tuple of str: pills after the text."""
    TONE = Qt.ItemDataRole.UserRole + 0x202
    """str: a colour token for the text (``good``, ``text-2``)."""
    STATE = Qt.ItemDataRole.UserRole + 0x203
    """str: a state's id, as in ``STATE_LOOKS``."""
    PROGRESS = Qt.ItemDataRole.UserRole + 0x204
    """int: thousandths done; below 0 when the end is not known."""
    STRONG = Qt.ItemDataRole.UserRole + 0x205
    """bool: the text is heavier."""
    FOLDED = Qt.ItemDataRole.UserRole + 0x206
    """bool: the text is a path and loses its middle, not its end."""


class CellDelegate(QStyledItemDelegate):
    """A cell of 34 px: an icon, a text, badges.

    Args:
        tone: the colour token of texts that name none.
        numeric: right-aligned, with figures of one width.
    """

    def __init__(
        self, parent: QWidget | None = None, *, tone: str = "text", numeric: bool = False
    ) -> None:
        super().__init__(parent)
        self._tone = tone
        self._numeric = numeric

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """One row high, as wide as its content."""
        theme = current_theme()
        self.initStyleOption(option, index)
        width = option.fontMetrics.horizontalAdvance(str(index.data() or "")) + 2 * _PAD
        if index.data(PaintRole.ICON):
            width += theme.metrics.icon_small + SPACE_S
        width += sum(badge_width(badge) + SPACE_S for badge in index.data(PaintRole.BADGES) or ())
        return QSize(width, theme.metrics.row)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Ground, line and content; the ground comes from the style sheet."""
        self.initStyleOption(option, index)
        painter.save()
        _paint_ground(painter, option)
        painter.setFont(self._cell_font(index))
        self.paint_content(painter, option.rect.adjusted(_PAD, 0, -_PAD, -LINE), option, index)
        painter.restore()
        _paint_focus(painter, option)

    def paint_content(
        self, painter: QPainter, room: QRect, option: QStyleOptionViewItem, index: Index
    ) -> None:
        """Draw inside the cell's padding."""
        room = self._paint_check(painter, room, option)
        room = _paint_icon(painter, room, option, str(index.data(PaintRole.ICON) or ""), "text-2")
        text = str(index.data(Qt.ItemDataRole.DisplayRole) or "")
        wanted = painter.fontMetrics().horizontalAdvance(text)
        badges = _fitting(tuple(index.data(PaintRole.BADGES) or ()), room.width(), wanted)
        taken = sum(badge_width(badge) + SPACE_S for badge in badges)
        shown = self._paint_text(painter, room.adjusted(0, 0, -taken, 0), option, index, text)
        _paint_badges(painter, room, shown, badges, bool(_selected(option)))

    def _paint_check(self, painter: QPainter, room: QRect, option: QStyleOptionViewItem) -> QRect:
        """The style's own check box, where the model has one."""
        if not option.features & QStyleOptionViewItem.ViewItemFeature.HasCheckIndicator:
            return room
        style = option.widget.style()
        box = style.subElementRect(
            QStyle.SubElement.SE_ItemViewItemCheckIndicator, option, option.widget
        )
        checked = option.checkState == Qt.CheckState.Checked
        mark = QStyleOptionViewItem(option)
        mark.rect = box
        mark.state |= QStyle.StateFlag.State_On if checked else QStyle.StateFlag.State_Off
        element = QStyle.PrimitiveElement.PE_IndicatorItemViewItemCheck
        style.drawPrimitive(element, mark, painter, option.widget)
        return room.adjusted(box.right() + SPACE_S - room.left(), 0, 0, 0)

    def _paint_text(
        self, painter: QPainter, room: QRect, option: QStyleOptionViewItem, index: Index, text: str
    ) -> int:
        """Draw the text, shortened to its room; return how wide it came out."""
        if room.width() <= 0 or not text:
            return 0
        folded = bool(index.data(PaintRole.FOLDED))
        mode = Qt.TextElideMode.ElideMiddle if folded else Qt.TextElideMode.ElideRight
        shown = painter.fontMetrics().elidedText(text, mode, room.width())
        painter.setPen(current_theme().color(self._text_token(option, index)))
        painter.drawText(room, int(self._alignment(index)), shown)
        return painter.fontMetrics().horizontalAdvance(shown)

    def _text_token(self, option: QStyleOptionViewItem, index: Index) -> str:
        if not option.state & QStyle.StateFlag.State_Enabled:
            return "disabled"
        token = str(index.data(PaintRole.TONE) or self._tone)
        # Hints do not reach 4.5:1 on a selected row.
        return "text-2" if token == "text-3" and _selected(option) else token

    def _alignment(self, index: Index) -> Qt.AlignmentFlag:
        middle = Qt.AlignmentFlag.AlignVCenter
        if self._numeric:
            return Qt.AlignmentFlag.AlignRight | middle
        asked = index.data(Qt.ItemDataRole.TextAlignmentRole)
        return (Qt.AlignmentFlag(int(asked)) | middle) if asked else middle

    def _cell_font(self, index: Index) -> QFont:
        font = current_theme().font("strong" if index.data(PaintRole.STRONG) else "base")
        return tabular(font) if self._numeric else font


class NameDelegate(CellDelegate):
    """The name of a model: icon of its role, name, badges."""


class NumberDelegate(CellDelegate):
    """Numbers: right-aligned, figures of one width."""

    def __init__(self, parent: QWidget | None = None, *, tone: str = "text") -> None:
        super().__init__(parent, tone=tone, numeric=True)


class StateDelegate(CellDelegate):
    """A state: its icon and its word, in its colour."""

    def paint_content(
        self, painter: QPainter, room: QRect, option: QStyleOptionViewItem, index: Index
    ) -> None:
        """Draw the icon and the word."""
        look = state_look(str(index.data(PaintRole.STATE) or ""))
        text = str(index.data(Qt.ItemDataRole.DisplayRole) or "")
        if not text:
            return
        room = _paint_icon(painter, room, option, look.icon, look.tone, gap=SPACE_S - 3)
        self._paint_text(painter, room, option, index, text)

    def _text_token(self, option: QStyleOptionViewItem, index: Index) -> str:
        if not option.state & QStyle.StateFlag.State_Enabled:
            return "disabled"
        return state_look(str(index.data(PaintRole.STATE) or "")).tone

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Room for the icon as well."""
        hint = super().sizeHint(option, index)
        return hint + QSize(current_theme().metrics.icon_small + SPACE_S, 0)


class ProgressDelegate(CellDelegate):
    """A bar with its text beside it: ``trial 3/12 · 46 %``."""

    def __init__(self, parent: QWidget | None = None, *, share: float = 0.5) -> None:
        super().__init__(parent, tone="text-2")
        self._share = share

    def paint_content(
        self, painter: QPainter, room: QRect, option: QStyleOptionViewItem, index: Index
    ) -> None:
        """Draw the bar, then the text; only the text where there is no progress."""
        value = index.data(PaintRole.PROGRESS)
        text = str(index.data(Qt.ItemDataRole.DisplayRole) or "")
        if value is not None:
            height = current_theme().metrics.progress
            width = room.width() * (self._share if text else 1.0)
            top = room.top() + (room.height() - height) / 2
            bar = QRectF(room.left(), top, width, height)
            paint_progress(painter, bar, int(value), str(index.data(PaintRole.TONE) or "accent"))
            room = room.adjusted(int(width) + SPACE_M, 0, 0, 0)
        painter.setFont(tabular(current_theme().font("secondary")))
        self._paint_text(painter, room, option, index, text)

    def _text_token(self, _option: QStyleOptionViewItem, _index: Index) -> str:
        return "text-2"


def _fitting(badges: tuple[str, ...], width: int, wanted: int) -> tuple[str, ...]:
    """Leave out the last badges where the text would lose more than a third of the cell."""
    while badges:
        taken = sum(badge_width(badge) + SPACE_S for badge in badges)
        if width - taken >= min(wanted, width * 2 // 3):
            break
        badges = badges[:-1]
    return badges


def _selected(option: QStyleOptionViewItem) -> bool:
    return bool(option.state & QStyle.StateFlag.State_Selected)


def _paint_ground(painter: QPainter, option: QStyleOptionViewItem) -> None:
    panel = QStyle.PrimitiveElement.PE_PanelItemViewItem
    option.widget.style().drawPrimitive(panel, option, painter, option.widget)


def _paint_focus(painter: QPainter, option: QStyleOptionViewItem) -> None:
    """A bar of the accent before the current row's text, where the keyboard is."""
    if not option.state & QStyle.StateFlag.State_HasFocus:
        return
    edge = option.rect.adjusted(0, 0, 0, -LINE)
    edge.setWidth(2)
    painter.fillRect(edge, current_theme().color("accent"))


def _paint_icon(
    painter: QPainter,
    room: QRect,
    option: QStyleOptionViewItem,
    name: str,
    token: str,
    gap: int = SPACE_S,
) -> QRect:
    """Draw an icon at the start of the room; return what is left."""
    if not name:
        return room
    theme = current_theme()
    side = theme.metrics.icon_small
    if not option.state & QStyle.StateFlag.State_Enabled:
        token = "disabled"
    ratio = painter.device().devicePixelRatioF()
    top = room.top() + (room.height() - side) / 2
    painter.drawPixmap(QPointF(room.left(), top), theme.pixmap(name, token, side, ratio))
    return room.adjusted(side + gap, 0, 0, 0)


def _paint_badges(
    painter: QPainter, room: QRect, text_width: int, badges: tuple[str, ...], selected: bool
) -> None:
    height = current_theme().metrics.badge
    left = room.left() + text_width + SPACE_S
    top = room.top() + (room.height() - height) // 2
    for badge in badges:
        width = badge_width(badge)
        if left + width > room.right():
            return
        paint_badge(painter, QRect(left, top, width, height), badge, on_selection=selected)
        left += width + SPACE_S
