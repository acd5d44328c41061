"""The parts of the Results page that show a comparison of merges."""

from __future__ import annotations

from html import escape

from PySide6.QtCore import (
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from deltaworks.figures import DARK, LIGHT
from deltaworks.studies.contest_record import Contest
from deltaworks_gui.models.contest import ContestModel
from deltaworks_gui.models.roles import ModelRole
from deltaworks_gui.plots.contest import ContestCanvas
from deltaworks_gui.plots.contest_words import skipped_text, winner_text
from deltaworks_gui.theme import SPACE_L, SPACE_M, SPACE_S, current_theme, set_look
from deltaworks_gui.widgets.buttons import quiet_button
from deltaworks_gui.widgets.delegates import CellDelegate, NumberDelegate
from deltaworks_gui.widgets.elided_label import ElidedLabel
from deltaworks_gui.widgets.state_cell import StateLabel
from deltaworks_gui.widgets.tables import prepare_table

WIDTHS = {
    "number": 40,
    "method": 170,
    "settings": 136,
    "average": 76,
    "normalised": 84,
    "time": 64,
    "memory": 100,
    "size": 76,
    "kept": 76,
}
"""At a text size of 100 %."""
TASK_WIDTH = 76
"""At least; a task's title is shown whole as far as it is not too long."""
_TITLE_MOST = 140
_TITLE_PAD = 24
"""Padding of a header's cell, and the arrow of sorting."""
_ROW = 34
_GLYPHS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "d": "◆", "v": "▼", "P": "✚", "X": "✖"}


class ContestPlot(QWidget):
    """Who won, the figure under it, and what was left out.

    Signals:
        chosen: number of an entry; 0 for none.
        show_asked: the winner's row in the Library is wanted.
    """

    chosen = Signal(int)
    show_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("ContestPlot")
        self.winner = StateLabel("info", "", wrap=True)
        self.winner.setObjectName("ContestWinner")
        self.show_winner = quiet_button(self.tr("Show model"), name="btn_show_winner")
        self.left_out = ElidedLabel()
        self.left_out.setObjectName("ContestLeftOut")
        set_look(self.left_out, role="hint")
        self.canvas = ContestCanvas()
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(self.canvas)
        strip = QHBoxLayout()
        strip.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_S)
        strip.addWidget(self.winner, 1, Qt.AlignmentFlag.AlignVCenter)
        strip.addWidget(self.show_winner)
        self.legend = QLabel()
        self.legend.setObjectName("ContestLegend")
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        self.legend.setContentsMargins(SPACE_L, 0, SPACE_L, 0)
        set_look(self.legend, role="secondary")
        foot = QHBoxLayout()
        foot.setContentsMargins(SPACE_L, SPACE_S, SPACE_L, SPACE_S)
        foot.addWidget(self.left_out, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(strip)
        column.addWidget(self.legend)
        column.addWidget(area, 1)
        column.addLayout(foot)
        self.canvas.chosen.connect(self.chosen)
        self.show_winner.clicked.connect(self.show_asked)
        self._tasks: tuple[str, ...] = ()
        current_theme().changed.connect(self._show_legend)

    def show_contest(self, contest: Contest | None, selected: int) -> None:
        """Show a comparison with one of its entries marked."""
        self.canvas.show_contest(contest, selected)
        if contest is None:
            return
        self._tasks = tuple(contest.tasks.values())
        self._show_legend()
        best, text = contest.best, winner_text(contest)
        if text and contest.state == "done":
            self.winner.show_state("good", text, text)
        else:
            self.winner.show_state(*self._so_far(contest))
        self.show_winner.setVisible(best is not None and bool(best.artefact))
        notes = []
        if any(entry.switches for entry in contest.entries):
            notes.append(self.tr("* one model an expert, the right one for each task"))
        if skipped := skipped_text(contest):
            notes.append(self.tr("Left out: {0}").format(skipped))
        self.left_out.setVisible(bool(notes))
        self.left_out.setText(" · ".join(notes))

    @Slot()
    def _show_legend(self) -> None:
        """What bars and marks are; the figure says it at its end, which may be out of sight."""
        look = DARK if current_theme().is_dark else LIGHT
        parts = [self.tr("Right answers; bars are averages over")]
        plain = list(parts)
        for place, task in enumerate(self._tasks):
            series = look.series[place % len(look.series)]
            mark = _GLYPHS.get(series.marker, "●")
            parts.append(f'<span style="color:{series.edge}">{mark}</span> {escape(task)}')
            plain.append(task)
        self.legend.setText("&nbsp;&nbsp; ".join(parts))
        self.legend.setAccessibleName(", ".join(plain))
        self.legend.setVisible(bool(self._tasks))

    def _so_far(self, contest: Contest) -> tuple[str, str]:
        """Before there is a winner, or without one."""
        if contest.state == "running":
            done = sum(entry.state == "done" for entry in contest.entries)
            return "checking", self.tr("{0} merges measured so far").format(done)
        if contest.state == "cancelled":
            return "cancelled", self.tr("Cancelled; nothing was kept")
        if contest.state == "failed":
            return "failed", self.tr("It failed and nothing was kept; the Log says why")
        return "warn", self.tr("No merge was measured: {0}").format(
            contest.data or self.tr("there were no tasks")
        )


class _KnownFirst(QSortFilterProxyModel):
    """Sorts what is known; what is not comes last both ways."""

    def lessThan(  # noqa: N802 - Qt's name
        self,
        left: QModelIndex | QPersistentModelIndex,
        right: QModelIndex | QPersistentModelIndex,
    ) -> bool:
        """Whether one comes before the other, going up."""
        one, other = left.data(ModelRole.SORT), right.data(ModelRole.SORT)
        if one is None or other is None:
            is_up = self.sortOrder() is Qt.SortOrder.AscendingOrder
            return one is not other and (other if is_up else one) is None
        return bool(one < other)


class ContestTable(QTableView):
    """Every merge with its scores; base and experts among them.

    Args:
        model: the rows.
    """

    def __init__(self, model: ContestModel) -> None:
        super().__init__()
        self._rows = model
        self._sorted = _KnownFirst(self)
        self._sorted.setSourceModel(model)
        self._sorted.setSortRole(ModelRole.SORT)
        self.setModel(self._sorted)
        prepare_table(self, name="ContestTable", accessible_name=self.tr("Merges"))
        self.setSelectionMode(QTableView.SelectionMode.SingleSelection)
        self.setSortingEnabled(True)
        self._words, self._numbers = CellDelegate(self), NumberDelegate(self)
        model.modelReset.connect(self._fit)
        current_theme().changed.connect(self._fit)
        self._fit()

    @property
    def selected(self) -> int:
        """Number of the chosen entry; 0 for base, expert or none."""
        rows = self.selectionModel().selectedRows()
        return int(rows[0].data(ModelRole.ID)) if rows else 0

    def select(self, number: int) -> None:
        """Choose an entry by its number."""
        if number == self.selected:
            return
        if not number:
            self.clearSelection()
            return
        for place in range(self._sorted.rowCount()):
            index = self._sorted.index(place, 0)
            if index.data(ModelRole.ID) == number:
                flags = QItemSelectionModel.SelectionFlag
                self.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
                self.scrollTo(index)

    def number_at(self, index: QModelIndex) -> int:
        """The entry of a row; 0 for base and experts."""
        return int(index.siblingAtColumn(0).data(ModelRole.ID) or 0)

    def _width(self, place: int, column: str) -> int:
        """Of a column at a text size of 100 %."""
        if column in WIDTHS:
            return WIDTHS[column]
        title = str(self._rows.headerData(place, Qt.Orientation.Horizontal))
        scale = current_theme().metrics.row / _ROW
        metrics = QFontMetrics(current_theme().font("caption"))
        wide = round(metrics.horizontalAdvance(title) / scale) + _TITLE_PAD
        return max(TASK_WIDTH, min(_TITLE_MOST, wide))

    @Slot()
    def _fit(self) -> None:
        """Widths and delegates, anew where the tasks are others."""
        scale = current_theme().metrics.row / _ROW
        for place, column in enumerate(self._rows.columns):
            self.setColumnWidth(place, int(self._width(place, column) * scale))
            delegate = self._numbers if self._rows.is_number(place) else self._words
            self.setItemDelegateForColumn(place, delegate)
        average = self._rows.columns.index("average")
        self.sortByColumn(average, Qt.SortOrder.DescendingOrder)
