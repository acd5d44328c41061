"""The Results page: size against quality, and the point to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPersistentModelIndex, QPoint, Qt, Slot
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QSplitter,
    QStackedWidget,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from deltaworks.figures.look import DARK, LIGHT, SeriesLook
from deltaworks.figures.tradeoff_styles import Styles, styles_of
from deltaworks_gui.context import AppContext
from deltaworks_gui.models.trials import COLUMNS, NUMBERS, Key, TrialModel
from deltaworks_gui.page import Handler, Page
from deltaworks_gui.pages.results_controller import ResultsController, ResultsState
from deltaworks_gui.pages.results_export import export_plot, export_table
from deltaworks_gui.pages.results_filters import FilterRow
from deltaworks_gui.payloads import ResultsSweep
from deltaworks_gui.plots.tradeoff import TradeoffCanvas
from deltaworks_gui.theme import SPACE_L, SPACE_M, current_theme, set_look
from deltaworks_gui.widgets.buttons import primary_button, secondary_button
from deltaworks_gui.widgets.delegates import CellDelegate, NumberDelegate
from deltaworks_gui.widgets.empty_state import EmptyState
from deltaworks_gui.widgets.series_cell import SeriesDelegate
from deltaworks_gui.widgets.sweep_list import SweepList
from deltaworks_gui.widgets.tables import prepare_table

HIDDEN = ("safety", "memory")
"""Columns that nothing fills yet, or few look at."""
WIDTHS = {
    "number": 46,
    "expert": 118,
    "method": 128,
    "settings": 112,
    "size": 80,
    "ratio": 64,
    "quality": 78,
    "measured": 158,
    "time": 58,
    "front": 112,
    "kept": 54,
}
_KEY, _SPLIT = "results/header", "results/splitter"
LIST_WIDTH = 7
"""Of the list of sweeps, in control heights."""
TABLE_ROWS = 7
"""Height of the table at first, in rows."""


class ResultsPage(Page):
    """Shows the controller's state; decides nothing."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context, "Results", self.tr("Results"))
        self.controller = ResultsController(context, self)
        self.model = TrialModel(self)
        self._styles = styles_of((), LIGHT)
        self.canvas = TradeoffCanvas()
        self.table = QTableView()
        self.sweeps = SweepList()
        self.filters = FilterRow()
        self._is_showing = False
        self._build_header()
        self._build_table()
        self._stack = QStackedWidget()
        self._body = self._build_body()
        self._empty = EmptyState(
            "Empty_Results",
            self.tr("No sweeps yet"),
            self.tr("A sweep tries several settings and plots size against quality."),
            primary=self.tr("Open Workbench"),
            secondary=self.tr("Try the demo"),
            icon="results",
        )
        self._loading = EmptyState("Loading_Results", self.tr("Reading results…"), busy=True)
        for widget in (self._loading, self._empty, self._body):
            self._stack.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._stack)
        self._connect()
        self._show()
        self.controller.start()

    # Building

    def _build_header(self) -> None:
        self._export = secondary_button(self.tr("Export plot…"), name="btn_export_plot")
        self._keep = primary_button(self.tr("Keep this delta"), name="btn_keep")
        self._keep_why = QLabel()
        set_look(self._keep_why, role="hint")
        self.header.add_action(self._keep_why)
        self.header.add_action(self._export)
        self.header.add_action(self._keep)

    def _build_table(self) -> None:
        table = self.table
        table.setModel(self.model)
        prepare_table(table, name="TrialTable", accessible_name=self.tr("Trials"))
        table.setSortingEnabled(True)
        table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        for number, column in enumerate(COLUMNS):
            table.setItemDelegateForColumn(number, self._delegate(column))
            table.setColumnHidden(number, column in HIDDEN)
        self._fit_columns()
        state = self.context.settings.blob(_KEY)
        if not self.context.is_safe and not state.isEmpty():
            table.horizontalHeader().restoreState(state)

    def _delegate(self, column: str) -> CellDelegate:
        if column == "method":
            return SeriesDelegate(self.table, self._mark_of)
        return NumberDelegate(self.table) if column in NUMBERS else CellDelegate(self.table)

    def _build_body(self) -> QWidget:
        left = QWidget()
        set_look(left, surface="left")
        left.setFixedWidth(current_theme().metrics.control * LIST_WIDTH)
        caption = QLabel(self.tr("Sweeps"))
        caption.setBuddy(self.sweeps)
        caption.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        set_look(caption, role="caption")
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(caption)
        column.addWidget(self.sweeps, 1)
        upper = QWidget()
        over = QVBoxLayout(upper)
        over.setContentsMargins(0, 0, 0, 0)
        over.setSpacing(0)
        over.addWidget(self.filters)
        over.addWidget(self.canvas, 1)
        self._splitter = QSplitter(Qt.Orientation.Vertical)
        self._splitter.setChildrenCollapsible(False)
        self._splitter.addWidget(upper)
        self._splitter.addWidget(self.table)
        self._splitter.setStretchFactor(0, 1)
        unit = current_theme().metrics.row
        self._splitter.setSizes([unit * 13, unit * TABLE_ROWS])
        state = self.context.settings.blob(_SPLIT)
        if not self.context.is_safe and not state.isEmpty():
            self._splitter.restoreState(state)
        body = QWidget()
        row = QHBoxLayout(body)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(left)
        row.addWidget(self._splitter, 1)
        return body

    def _connect(self) -> None:
        controller = self.controller
        controller.changed.connect(self._show)
        self.sweeps.chosen.connect(controller.show_sweeps)
        self.filters.chosen.connect(self._on_choice)
        self.canvas.chosen.connect(self._on_point)
        self.canvas.opened.connect(self._on_opened)
        self.canvas.menu_asked.connect(self._on_point_menu)
        self.table.selectionModel().selectionChanged.connect(self._on_rows)
        self.table.customContextMenuRequested.connect(self._on_table_menu)
        self._keep.clicked.connect(controller.keep)
        self._export.clicked.connect(self._export_plot)
        self._empty.primary_clicked.connect(self._on_workbench)
        self._empty.secondary_clicked.connect(self._on_demo)
        current_theme().changed.connect(self._fit_columns)

    # Showing

    @Slot()
    def _show(self) -> None:
        state = self.controller.state
        self._is_showing = True
        self._stack.setCurrentWidget(self._front(state))
        shown = self.controller.shown
        self._styles = styles_of(shown, DARK if current_theme().is_dark else LIGHT)
        self.sweeps.show_sweeps(state.sweeps, state.shown)
        self.model.show(shown)
        self.canvas.show_sweeps(shown, state.choice)
        self.canvas.select(state.selected)
        self.filters.show_choice(state.choice)
        self._mark_rows(state.selected)
        why = self.controller.why_no_keep()
        self._keep.setEnabled(not why)
        self._keep.setToolTip(why)
        self._keep_why.setText(why if shown else "")
        self._export.setEnabled(bool(self.canvas.points) or bool(shown))
        self._is_showing = False
        self.context.navigator.want_inspector(self.wants_inspector)

    def _front(self, state: ResultsState) -> QWidget:
        if state.sweeps:
            return self._body
        return self._loading if state.is_loading else self._empty

    def _mark_rows(self, keys: Sequence[Key]) -> None:
        selection = self.table.selectionModel()
        chosen = {self.model.row_at(index.row()).key for index in selection.selectedRows()}
        if chosen == set(keys):
            return
        flags = QItemSelectionModel.SelectionFlag
        selection.clearSelection()
        for key in keys:
            at = self.model.place_of(key)
            if at >= 0:
                index = self.model.index(at, 0)
                selection.select(index, flags.Select | flags.Rows)
                self.table.scrollTo(index)

    def _mark_of(self, index: QModelIndex | QPersistentModelIndex) -> SeriesLook:
        trial = self.model.row_at(index.row()).trial
        styles: Styles = self._styles
        return styles.of(trial.method, trial.expert, is_exact=trial.is_exact)

    @Slot()
    def _fit_columns(self) -> None:
        scale = current_theme().metrics.row / 34
        for name, width in WIDTHS.items():
            self.table.setColumnWidth(COLUMNS.index(name), int(width * scale))

    # The window's questions

    @property
    def wants_inspector(self) -> bool:
        """The plot is the largest thing here; its tooltip says what the Inspector would."""
        return False

    def handlers(self) -> Mapping[str, Handler]:
        """What can be done with plot and table."""
        return {
            "act_export_plot": Handler(self._export_plot, self._why_no_export),
            "act_export_table": Handler(self._export_table, self._why_no_export),
        }

    def activate(self, payload: object = None) -> None:
        """Show what another page points at."""
        self.controller.seen(True)
        if isinstance(payload, ResultsSweep):
            if payload.sweep_id:
                self.controller.show_sweeps([payload.sweep_id])
            else:
                self.controller.show_job(payload.job_id)

    def deactivate(self) -> None:
        """From now on, finished sweeps count as unseen."""
        self.controller.seen(False)

    def focus_body(self) -> None:
        """Put the keyboard on the plot."""
        on_body = self._stack.currentWidget() is self._body
        (self.canvas if on_body else self._empty.primary).setFocus()

    def escape(self) -> bool:
        """Drop the selection."""
        if not self.controller.state.selected:
            return False
        self.controller.select(())
        return True

    def save_state(self) -> None:
        """Remember columns and splitter."""
        self.context.settings.set(_KEY, self.table.horizontalHeader().saveState())
        self.context.settings.set(_SPLIT, self._splitter.saveState())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """``L`` logarithmic axis, ``0`` whole view, ``K`` keep."""
        key = event.text().lower()
        if key == "l":
            self.controller.choose(log_x=not self.controller.state.choice.log_x)
        elif key == "0":
            self.canvas.reset_view()
        elif key == "k" and not self.controller.why_no_keep():
            self.controller.keep()
        else:
            super().keyPressEvent(event)

    # What was clicked

    @Slot(object)
    def _on_choice(self, changes: dict[str, object]) -> None:
        self.controller.choose(**changes)

    @Slot(object, object)
    def _on_point(self, key: Key, joins: bool) -> None:
        before = [one for one in self.controller.state.selected if one != key]
        self.controller.select([*before, key] if joins else [key])

    @Slot(object)
    def _on_opened(self, key: Key) -> None:
        trial = self.controller.trial(key)
        if trial is not None and trial.artefact:
            self.controller.show_artefact(trial)

    @Slot()
    def _on_rows(self) -> None:
        if not self._is_showing:
            rows = self.table.selectionModel().selectedRows()
            self.controller.select([self.model.row_at(index.row()).key for index in rows])

    @Slot(object, object)
    def _on_point_menu(self, key: Key, place: QPoint) -> None:
        self.controller.select([key])
        self._menu(place)

    @Slot(QPoint)
    def _on_table_menu(self, place: QPoint) -> None:
        self._menu(self.table.viewport().mapToGlobal(place))

    def _menu(self, place: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        keep = menu.addAction(self.tr("Keep this delta"))
        keep.setEnabled(not self.controller.why_no_keep())
        keep.triggered.connect(self.controller.keep)
        show = menu.addAction(self.tr("Show delta"))
        selected = self.controller.selected
        show.setEnabled(len(selected) == 1 and bool(selected[0].artefact))
        show.triggered.connect(self._on_show_delta)
        menu.addSeparator()
        for action in self.window().findChildren(QAction):
            if action.objectName() in ("act_export_table", "act_export_plot"):
                menu.addAction(action)
        menu.popup(place)

    @Slot()
    def _on_show_delta(self) -> None:
        self._on_opened(self.controller.state.selected[0])

    @Slot()
    def _on_workbench(self) -> None:
        self.context.navigator.show_page("Workbench")

    @Slot()
    def _on_demo(self) -> None:
        self.context.navigator.show_page("Library", "demo")

    @Slot()
    def _export_plot(self) -> None:
        export_plot(self, self.context, self.controller.shown, self.controller.state.choice)

    @Slot()
    def _export_table(self) -> None:
        export_table(self, self.context, [row.trial for row in self.model.rows])

    def _why_no_export(self) -> str:
        return "" if self.controller.shown else self.tr("There is no sweep to export.")
