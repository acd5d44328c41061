"""The list of sweeps: title and count on one line, base and time below."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from PySide6.QtCore import (
    QItemSelection,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSignalBlocker,
    QSize,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from deltaworks.studies.trials import Sweep
from deltaworks_gui.formats import format_ago, format_moment
from deltaworks_gui.theme import LINE, SPACE_L, SPACE_M, SPACE_S, current_theme, tabular

_SWEEP = Qt.ItemDataRole.UserRole


class SweepList(QListWidget):
    """Several may be chosen; they are overlaid.

    Signals:
        chosen: ids of the chosen sweeps, in the order of the list.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("SweepList")
        self.setAccessibleName(self.tr("Sweeps"))
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setItemDelegate(_SweepDelegate(self))
        self.setFrameShape(QListWidget.Shape.NoFrame)
        self.setMouseTracking(True)

    def show_sweeps(self, sweeps: Sequence[Sweep], shown: Sequence[str]) -> None:
        """Show these, and mark those that are on the plot."""
        blocker = QSignalBlocker(self)
        while self.count() > len(sweeps):
            self.takeItem(self.count() - 1)
        while self.count() < len(sweeps):
            self.addItem(QListWidgetItem())
        for at, sweep in enumerate(sweeps):
            item = self.item(at)
            if item.data(_SWEEP) != sweep:
                item.setData(_SWEEP, sweep)
                item.setText(sweep.title)
                item.setToolTip(f"{sweep.title}\n{format_moment(_seconds(sweep))}")
                words = (sweep.title, count_text(sweep), sweep.base, sweep.state)
                item.setData(Qt.ItemDataRole.AccessibleTextRole, ", ".join(words))
            item.setSelected(sweep.id in shown)
        del blocker

    def selectionChanged(self, chosen: QItemSelection, before: QItemSelection) -> None:  # noqa: N802 - Qt's name
        """Tell who is chosen now."""
        super().selectionChanged(chosen, before)
        if not self.signalsBlocked():
            self._tell()

    @Slot()
    def _tell(self) -> None:
        items = sorted(self.selectedItems(), key=self.row)
        if items:
            self.chosen.emit([item.data(_SWEEP).id for item in items])


def count_text(sweep: Sweep) -> str:
    """``12/14``: trials that ended well, of all."""
    done = sum(trial.state == "done" for trial in sweep.trials)
    return f"{done}/{len(sweep.trials)}"


def _seconds(sweep: Sweep) -> float:
    try:
        return datetime.fromisoformat(sweep.created).timestamp()
    except ValueError:
        return 0.0


class _SweepDelegate(QStyledItemDelegate):
    """Two lines, 56 px."""

    def sizeHint(
        self, option: QStyleOptionViewItem, _index: QModelIndex | QPersistentModelIndex
    ) -> QSize:
        """As high as a page's header."""
        return QSize(option.rect.width(), current_theme().metrics.header)

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        """Ground, title with count, base with time, a line below."""
        sweep: Sweep = index.data(_SWEEP)
        theme, selected = current_theme(), bool(option.state & QStyle.StateFlag.State_Selected)
        painter.save()
        if selected:
            painter.fillRect(option.rect, theme.color("selection"))
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(option.rect, theme.color("sunken"))
        if option.state & QStyle.StateFlag.State_HasFocus:
            bar = QRect(option.rect.left(), option.rect.top(), 2, option.rect.height())
            painter.fillRect(bar, theme.color("accent"))
        room = option.rect.adjusted(SPACE_L, SPACE_S, -SPACE_M, -SPACE_S)
        self._paint_lines(painter, room, sweep)
        base = option.rect.bottom()
        painter.fillRect(option.rect.left(), base, option.rect.width(), LINE, theme.color("line"))
        painter.restore()

    def _paint_lines(self, painter: QPainter, room: QRect, sweep: Sweep) -> None:
        theme = current_theme()
        done = count_text(sweep)
        all_done = done.split("/")[0] == done.split("/")[1]
        upper = QRect(room.left(), room.top(), room.width(), room.height() // 2)
        lower = upper.translated(0, room.height() // 2)
        painter.setFont(tabular(theme.font("secondary")))
        painter.setPen(
            theme.color("good" if all_done else "warn" if sweep.state != "running" else "text-2")
        )
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(upper, int(right), done)
        taken = painter.fontMetrics().horizontalAdvance(done) + SPACE_M
        self._line(painter, upper.adjusted(0, 0, -taken, 0), "strong", "text", sweep.title)
        when = format_ago(_seconds(sweep))
        self._line(painter, lower, "secondary", "text-2", f"{sweep.base} · {when}")

    def _line(self, painter: QPainter, room: QRect, font: str, tone: str, text: str) -> None:
        theme = current_theme()
        painter.setFont(theme.font(font))
        painter.setPen(theme.color(tone))
        fit = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room.width())
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(room, int(left), fit)
