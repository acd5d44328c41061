"""The pages, down the left edge: icon over text, the chosen one marked."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from deltaworks_gui.theme import FOCUS_WIDTH, LINE, RADIUS, SPACE_XS, current_theme

Index = QModelIndex | QPersistentModelIndex

_ICON_ROLE = Qt.ItemDataRole.UserRole + 1
_BADGE_ROLE = Qt.ItemDataRole.UserRole + 2
_BAR = 3


class NavList(QListWidget):
    """Choose a page by ``currentRowChanged``; badges count what is new there.

    Args:
        pages: pairs of icon name and title, in order.
    """

    def __init__(self, pages: Sequence[tuple[str, str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("NavList")
        self.setAccessibleName(self.tr("Pages"))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMouseTracking(True)
        self.setItemDelegate(_NavDelegate(self))
        for icon, title in pages:
            item = QListWidgetItem(title, self)
            item.setData(_ICON_ROLE, icon)
            item.setToolTip(title)
        if pages:
            self.setCurrentRow(0)
        current_theme().changed.connect(self._fit)
        self._fit()

    def badge(self, row: int) -> int:
        """The number on a page's icon."""
        return int(self.item(row).data(_BADGE_ROLE) or 0)

    def set_badge(self, row: int, count: int, meaning: str = "") -> None:
        """Show a number on a page's icon, none at 0; ``meaning`` says it in words."""
        item = self.item(row)
        item.setData(_BADGE_ROLE, count)
        told = f"{item.text()}, {meaning or count}" if count else item.text()
        item.setData(Qt.ItemDataRole.AccessibleTextRole, told)

    def row_height(self) -> int:
        """The height of a page's row: less than usual where the window is low."""
        metrics = current_theme().metrics
        room = self.viewport().height() // max(1, self.count())
        least = round(metrics.nav_row * 0.75)
        return max(least, min(metrics.nav_row, room))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Rows share the height there is."""
        super().resizeEvent(event)
        self.scheduleDelayedItemsLayout()

    def _fit(self) -> None:
        self.setFixedWidth(current_theme().metrics.nav)
        self.scheduleDelayedItemsLayout()


class _NavDelegate(QStyledItemDelegate):
    def __init__(self, nav: NavList) -> None:
        super().__init__(nav)
        self._nav = nav

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        width = current_theme().metrics.nav - LINE
        return QSize(width, self._nav.row_height())

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: Index,
    ) -> None:
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        pointed = bool(option.state & QStyle.StateFlag.State_MouseOver)
        token = "accent" if chosen else "text" if pointed else "text-2"
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if chosen:
            self._paint_bar(painter, option.rect)
        icon = self._paint_icon(painter, option.rect, str(index.data(_ICON_ROLE)), token)
        self._paint_text(painter, option.rect, str(index.data()), token, chosen)
        if count := index.data(_BADGE_ROLE):
            self._paint_badge(painter, icon, str(count))
        if option.state & QStyle.StateFlag.State_HasFocus and _by_keyboard(option):
            self._paint_focus(painter, option.rect)
        painter.restore()

    def _paint_bar(self, painter: QPainter, rect: QRect) -> None:
        height = rect.height() * 0.625
        bar = QRectF(rect.left() - _BAR, 0, 2 * _BAR, height)
        bar.moveTop(rect.top() + (rect.height() - height) / 2)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(current_theme().color("accent"))
        painter.drawRoundedRect(bar, _BAR, _BAR)

    def _paint_icon(self, painter: QPainter, rect: QRect, name: str, token: str) -> QRectF:
        theme = current_theme()
        side = theme.metrics.icon_nav
        place = QRectF(0, 0, side, side)
        place.moveCenter(QPointF(rect.center().x(), rect.top() + rect.height() * 0.34))
        ratio = painter.device().devicePixelRatioF()
        corner = QPointF(round(place.left()), round(place.top()))
        painter.drawPixmap(corner, theme.pixmap(name, token, side, ratio))
        return place

    def _paint_text(
        self, painter: QPainter, rect: QRect, text: str, token: str, chosen: bool
    ) -> None:
        theme = current_theme()
        painter.setFont(theme.font("caption" if chosen else "small"))
        painter.setPen(theme.color(token))
        room = rect.adjusted(2, rect.height() // 2, -2, -SPACE_XS)
        shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignCenter, shown)

    def _paint_badge(self, painter: QPainter, icon: QRectF, count: str) -> None:
        theme = current_theme()
        font = theme.font("caption")
        side = theme.metrics.badge - 1
        width = max(side, QFontMetrics(font).horizontalAdvance(count) + 2 * SPACE_XS)
        pill = QRectF(icon.right() - SPACE_XS, icon.top() - SPACE_XS, width, side)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("accent"))
        painter.drawRoundedRect(pill, side / 2, side / 2)
        painter.setPen(theme.color("on-accent"))
        painter.setFont(font)
        painter.drawText(pill, Qt.AlignmentFlag.AlignCenter, count)

    def _paint_focus(self, painter: QPainter, rect: QRect) -> None:
        pen = painter.pen()
        pen.setColor(current_theme().color("accent"))
        pen.setWidth(FOCUS_WIDTH)
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(QRectF(rect).adjusted(7, 3, -6, -3), RADIUS, RADIUS)


def _by_keyboard(option: QStyleOptionViewItem) -> bool:
    return bool(option.state & QStyle.StateFlag.State_KeyboardFocusChange)
