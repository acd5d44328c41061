"""The Results page: size against quality, and the point to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QModelIndex, QPoint, Qt, Slot
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from deltaworks.figures.look import DARK, LIGHT, SeriesLook
from deltaworks.figures.tradeoff_styles import styles_of
from deltaworks.studies.contest_record import Contest
from deltaworks.studies.trials import Sweep, Trial
from deltaworks_gui.context import AppContext
from deltaworks_gui.models.contest import ContestModel
from deltaworks_gui.models.trials import Key, TrialModel, is_repair
from deltaworks_gui.page import Handler, Page
from deltaworks_gui.pages.results_contest_view import ContestPlot, ContestTable
from deltaworks_gui.pages.results_controller import ResultsController, ResultsState
from deltaworks_gui.pages.results_export import Exporter
from deltaworks_gui.pages.results_filters import FilterRow
from deltaworks_gui.pages.results_subject import trial_subject
from deltaworks_gui.pages.results_table import TrialTable
from deltaworks_gui.payloads import LibraryChoice, ResultsSweep
from deltaworks_gui.plots.safety import SafetyCanvas
from deltaworks_gui.plots.tradeoff import TradeoffCanvas
from deltaworks_gui.theme import SPACE_L, SPACE_M, current_theme, set_look
from deltaworks_gui.widgets.buttons import primary_button, secondary_button
from deltaworks_gui.widgets.empty_state import EmptyState
from deltaworks_gui.widgets.sweep_list import SweepList

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
        self.safety = SafetyCanvas()
        self.table = TrialTable(self.model, self._look_of)
        self.merges = ContestModel(self)
        self.contest_plot = ContestPlot()
        self.contest_table = ContestTable(self.merges)
        self.sweeps = SweepList()
        self.filters = FilterRow()
        self._exporter = Exporter(context, self)
        self._is_showing = False
        self._is_inspecting = False
        self._build_header()
        self._stack = QStackedWidget()
        self._failed = EmptyState(
            "Empty_ResultsFailed",
            self.tr("No trial finished"),
            primary=self.tr("Show log"),
            secondary=self.tr("Edit and run"),
            icon="warning",
        )
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
        self._plot = QStackedWidget()
        self._plot.addWidget(self.canvas)
        self._plot.addWidget(self.safety)
        self._plot.addWidget(self.contest_plot)
        self._plot.addWidget(self._failed)
        over.addWidget(self._plot, 1)
        self._splitter = QSplitter(Qt.Orientation.Vertical)
        self._splitter.setChildrenCollapsible(False)
        self._splitter.addWidget(upper)
        self._tables = QStackedWidget()
        self._tables.addWidget(self.table)
        self._tables.addWidget(self.contest_table)
        self._splitter.addWidget(self._tables)
        self._splitter.setStretchFactor(0, 2)  # a small window takes from both
        self._splitter.setStretchFactor(1, 1)
        unit = current_theme().metrics.row
        self._splitter.setSizes([unit * 13, unit * TABLE_ROWS])
        state = self.context.settings.blob(_SPLIT)
        if not self.context.is_safe and not state.isEmpty():
            self._splitter.restoreState(state)
        columns = self.context.settings.blob(_KEY)
        if not self.context.is_safe and not columns.isEmpty():
            self.table.restore(columns)
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
        self.safety.chosen.connect(self._on_point)
        self.canvas.opened.connect(self._on_opened)
        self.canvas.menu_asked.connect(self._on_point_menu)
        self.table.selectionModel().selectionChanged.connect(self._on_rows)
        self.table.customContextMenuRequested.connect(self._on_table_menu)
        self.contest_plot.chosen.connect(self._on_merge)
        self.contest_plot.show_asked.connect(self._on_winner)
        self.contest_table.selectionModel().selectionChanged.connect(self._on_merge_row)
        self.contest_table.activated.connect(self._on_merge_opened)
        self._keep.clicked.connect(controller.keep)
        self._export.clicked.connect(self._export_plot)
        self._empty.primary_clicked.connect(self._on_workbench)
        self._empty.secondary_clicked.connect(self._on_demo)
        self._failed.primary_clicked.connect(self._on_log)
        self._failed.secondary_clicked.connect(self._on_edit)
        self.table.activated.connect(self._on_row_opened)
        current_theme().changed.connect(self._on_theme)

    # Showing

    @Slot()
    def _show(self) -> None:
        state, controller = self.controller.state, self.controller
        contest = controller.contest
        self._is_showing = True
        self._stack.setCurrentWidget(self._front(state))
        shown, visible = controller.shown, controller.visible
        self._styles = styles_of(shown, DARK if current_theme().is_dark else LIGHT)
        self.sweeps.show_sweeps(state.sweeps, state.shown)
        self.model.show(visible if contest is None else ())
        self._show_plot(shown)
        repairs = [sweep for sweep in visible if is_repair(sweep)]
        self.safety.show_sweeps(repairs)
        self.filters.setVisible(not repairs and contest is None)
        self._show_contest(contest)
        self.table.show_safety(bool(repairs))
        plain = [one for one in visible if one not in repairs and contest is None]
        self.canvas.show_sweeps(plain, state.choice)
        self.canvas.select(state.selected)
        self._inspect()
        self.filters.show_choice(state.choice, shown)
        self.table.select_keys(state.selected)
        why = controller.why_no_keep()
        self._keep.setEnabled(not why)
        self._keep.setToolTip(why)
        self._keep_why.setText(why if shown else "")
        self._export.setEnabled(bool(shown))
        self._is_showing = False
        if self.isVisible():
            self.context.navigator.want_inspector(self.wants_inspector)

    def _show_contest(self, contest: Contest | None) -> None:
        """A comparison of merges has a figure and a table of its own."""
        selected = self.controller.entry
        number = selected.number if selected is not None else 0
        self.merges.show(contest)
        self.contest_plot.show_contest(contest, number)
        self.contest_table.select(number)
        self._tables.setCurrentWidget(self.table if contest is None else self.contest_table)
        is_merge = contest is not None
        self._keep.setText(self.tr("Keep this merge") if is_merge else self.tr("Keep this delta"))
        self._keep.setAccessibleName(self._keep.text())

    def _show_plot(self, shown: Sequence[Sweep]) -> None:
        """The plot, or why there is nothing on it and never will be."""
        trials = [trial for sweep in shown for trial in sweep.trials]
        has_failed = bool(trials) and all(one.state in ("failed", "cancelled") for one in trials)
        if has_failed:
            reason = next((one.reason for one in trials if one.reason), "")
            self._failed.set_texts(self.tr("No trial finished"), reason)
        self._failed.secondary.setEnabled(any(sweep.recipe for sweep in shown))
        canvas: QWidget = self.safety if any(is_repair(one) for one in shown) else self.canvas
        canvas = self.contest_plot if self.controller.contest is not None else canvas
        self._plot.setCurrentWidget(self._failed if has_failed else canvas)

    def _front(self, state: ResultsState) -> QWidget:
        if state.sweeps:
            return self._body
        return self._loading if state.is_loading else self._empty

    def _look_of(self, trial: Trial) -> SeriesLook:
        return self._styles.of(trial.method, trial.expert, is_exact=trial.is_exact)

    @Slot()
    def _on_theme(self) -> None:
        self._styles = styles_of(self.controller.shown, DARK if current_theme().is_dark else LIGHT)
        self.table.viewport().update()

    # The window's questions

    @property
    def wants_inspector(self) -> bool:
        """The plot is the largest thing here; the Inspector comes when a point is opened."""
        return self._is_inspecting

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
        self._is_inspecting = False

    def focus_body(self) -> None:
        """Put the keyboard on the plot, or on the button to press."""
        on_body = self._stack.currentWidget() is self._body
        plot = self._plot.currentWidget()
        failed = self._failed.primary if plot is self._failed else self.canvas
        (failed if on_body else self._empty.primary).setFocus()

    def escape(self) -> bool:
        """Drop the selection."""
        if not self.controller.state.selected:
            return False
        self.controller.select(())
        return True

    def save_state(self) -> None:
        """Remember columns and splitter."""
        self.context.settings.set(_KEY, self.table.columns())
        self.context.settings.set(_SPLIT, self._splitter.saveState())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """``F`` front only, ``L`` logarithmic axis, ``0`` whole view, ``K`` keep."""
        key, choice = event.text().lower(), self.controller.state.choice
        if key == "f":
            self.controller.choose(front_only=not choice.front_only)
        elif key == "l":
            self.controller.choose(log_x=not choice.log_x)
        elif key == "0":
            self.canvas.reset_view()
        elif key == "k":
            self.controller.keep()
        else:
            super().keyPressEvent(event)

    # What was clicked

    @Slot(object)
    def _on_choice(self, changes: dict[str, object]) -> None:
        self.controller.choose(**changes)

    @Slot(object, object)
    def _on_point(self, key: Key | None, joins: bool) -> None:
        chosen = self.controller.state.selected
        if key is None:
            self.controller.select(())
        elif not joins:
            self.controller.select([key])
        else:
            others = [one for one in chosen if one != key]
            self.controller.select(others if key in chosen else [*others, key])

    @Slot(object)
    def _on_opened(self, key: Key) -> None:
        """All about a point, in the Inspector."""
        sweep, trial = self.controller.sweep(key[0]), self.controller.trial(key)
        if sweep is None or trial is None:
            return
        self._is_inspecting = True
        self.context.navigator.inspect(trial_subject(sweep, trial))
        self.context.navigator.want_inspector(True)
        self.context.navigator.show_dock("InspectorDock")

    @Slot(QModelIndex)
    def _on_row_opened(self, index: QModelIndex) -> None:
        self._on_opened(self.model.row_at(index.row()).key)

    def _inspect(self) -> None:
        """The Inspector, once open, follows the selection."""
        keys = self.controller.state.selected
        if self._is_inspecting and len(keys) == 1:
            sweep, trial = self.controller.sweep(keys[0][0]), self.controller.trial(keys[0])
            if sweep is not None and trial is not None:
                self.context.navigator.inspect(trial_subject(sweep, trial))

    @Slot()
    def _on_rows(self) -> None:
        if not self._is_showing:
            self.controller.select(self.table.selected_keys())

    @Slot(object, object)
    def _on_point_menu(self, key: Key, place: QPoint) -> None:
        if key not in self.controller.state.selected:
            self.controller.select([key])
        self._menu(place)

    @Slot(QPoint)
    def _on_table_menu(self, place: QPoint) -> None:
        self._menu(self.table.viewport().mapToGlobal(place))

    def _menu(self, place: QPoint) -> None:
        menu = QMenu(self)
        menu.setObjectName("TrialMenu")
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        keep = menu.addAction(self.tr("Keep this delta"))
        keep.setEnabled(not self.controller.why_no_keep())
        keep.triggered.connect(self.controller.keep)
        show = menu.addAction(self.tr("Show delta"))
        selected = self.controller.selected
        show.setEnabled(len(selected) == 1 and bool(selected[0].artefact))
        show.triggered.connect(self._on_show_delta)
        menu.addSeparator()
        for name in ("act_export_table", "act_export_plot"):
            if (action := self._action(name)) is not None:
                menu.addAction(action)
        menu.popup(place)

    def _action(self, name: str) -> QAction | None:
        """One of the window's actions; None where the page stands alone."""
        return self.window().findChild(QAction, name)

    @Slot()
    def _on_show_delta(self) -> None:
        if self.controller.selected:
            self.controller.show_artefact(self.controller.selected[0])

    @Slot(int)
    def _on_merge(self, number: int) -> None:
        contest = self.controller.contest
        if contest is not None:
            self.controller.select([(contest.id, number)] if number else ())

    @Slot()
    def _on_merge_row(self) -> None:
        if not self._is_showing:
            self._on_merge(self.contest_table.selected)

    @Slot(QModelIndex)
    def _on_merge_opened(self, index: QModelIndex) -> None:
        contest, number = self.controller.contest, self.contest_table.number_at(index)
        if contest is not None and number:
            self._on_opened((contest.id, number))

    @Slot()
    def _on_winner(self) -> None:
        contest = self.controller.contest
        if contest is not None and contest.best is not None:
            paths = (contest.best.artefact,)
            self.context.navigator.show_page("Library", LibraryChoice(paths))

    @Slot()
    def _on_workbench(self) -> None:
        self.context.navigator.show_page("Workbench")

    @Slot()
    def _on_demo(self) -> None:
        self.context.navigator.show_page("Library", "demo")

    @Slot()
    def _on_log(self) -> None:
        self.context.navigator.show_dock("LogDock")

    @Slot()
    def _on_edit(self) -> None:
        recipe = next((sweep.recipe for sweep in self.controller.shown if sweep.recipe), None)
        if recipe is not None:
            self.context.navigator.show_page("Workbench", dict(recipe))

    @Slot()
    def _export_plot(self) -> None:
        if (contest := self.controller.contest) is not None:
            self._exporter.ask_contest_plot(contest)
            return
        self._exporter.ask_plot(self.controller.visible, self.controller.state.choice)

    @Slot()
    def _export_table(self) -> None:
        if (contest := self.controller.contest) is not None:
            self._exporter.ask_contest_table(contest)
            return
        self._exporter.ask_table(self.model.rows)

    def _why_no_export(self) -> str:
        return "" if self.controller.shown else self.tr("There is no sweep to export.")
