"""The trials as a table beside the plot: columns, widths, marks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QByteArray, QItemSelectionModel, Qt, Slot
from PySide6.QtWidgets import QTableView

from deltaworks.figures.look import SeriesLook
from deltaworks.studies.trials import Trial
from deltaworks_gui.models.trials import COLUMNS, NUMBERS, Index, Key, TrialModel
from deltaworks_gui.theme import current_theme
from deltaworks_gui.widgets.delegates import CellDelegate, NumberDelegate
from deltaworks_gui.widgets.series_cell import SeriesDelegate
from deltaworks_gui.widgets.tables import prepare_table

HIDDEN = ("safety", "memory")
"""Columns that few sweeps fill, or few look at."""
WIDTHS = {
    "number": 40,
    "expert": 104,
    "method": 118,
    "settings": 118,
    "size": 76,
    "ratio": 62,
    "quality": 70,
    "measured": 118,
    "safety": 90,
    "time": 64,
    "memory": 100,
    "front": 138,
    "kept": 48,
}
"""At a text size of 100 %."""
_ROW = 34
"""Height of a row at a text size of 100 %."""


class TrialTable(QTableView):
    """The full alternative to the plot.

    Args:
        model: the trials.
        look_of: the mark of a trial on the plot.
    """

    def __init__(self, model: TrialModel, look_of: Callable[[Trial], SeriesLook]) -> None:
        super().__init__()
        self._trials = model
        self._look_of = look_of
        self._scale = 0.0
        self.setModel(model)
        prepare_table(self, name="TrialTable", accessible_name=self.tr("Trials"))
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        for number, column in enumerate(COLUMNS):
            self.setItemDelegateForColumn(number, self._delegate(column))
            self.setColumnHidden(number, column in HIDDEN)
        self._fit()
        current_theme().changed.connect(self._fit)

    def show_safety(self, is_shown: bool) -> None:
        """Show refusals where repairs are shown."""
        self.setColumnHidden(COLUMNS.index("safety"), not is_shown)

    def _delegate(self, column: str) -> CellDelegate:
        if column == "method":
            return SeriesDelegate(self, self._mark_of)
        return NumberDelegate(self) if column in NUMBERS else CellDelegate(self)

    def _mark_of(self, index: Index) -> SeriesLook:
        return self._look_of(self._trials.row_at(index.row()).trial)

    def restore(self, state: QByteArray) -> None:
        """Columns and order as they were when the window closed."""
        self.horizontalHeader().restoreState(state)

    def columns(self) -> QByteArray:
        """Columns and order, for ``restore``."""
        return self.horizontalHeader().saveState()

    def selected_keys(self) -> list[Key]:
        """What is selected, in the order of selecting."""
        rows = self.selectionModel().selectedRows()
        return [self._trials.row_at(index.row()).key for index in rows]

    def select_keys(self, keys: Sequence[Key]) -> None:
        """Select these, and make the last one visible."""
        if set(self.selected_keys()) == set(keys):
            return
        flags = QItemSelectionModel.SelectionFlag
        self.clearSelection()
        for key in keys:
            at = self._trials.place_of(key)
            if at >= 0:
                index = self._trials.index(at, 0)
                self.selectionModel().setCurrentIndex(index, flags.Select | flags.Rows)
                self.scrollTo(index)

    @Slot()
    def _fit(self) -> None:
        """Widths grow with the text; a change of colours leaves the user's alone."""
        scale = current_theme().metrics.row / _ROW
        if scale != self._scale:
            self._scale = scale
            for name, width in WIDTHS.items():
                self.setColumnWidth(COLUMNS.index(name), int(width * scale))
