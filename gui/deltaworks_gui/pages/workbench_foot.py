"""The right column: what it costs, and the button at the end of the eye's way."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from deltaworks_gui.formats import format_size
from deltaworks_gui.pages.workbench_contest import count_methods, disk_bytes, why_no_contest
from deltaworks_gui.pages.workbench_controller import WorkbenchController
from deltaworks_gui.pages.workbench_cost import memory_word
from deltaworks_gui.pages.workbench_recipe import count_trials
from deltaworks_gui.pages.workbench_state import WorkbenchState
from deltaworks_gui.pages.workbench_words import KEEPS, cost_lines, tr
from deltaworks_gui.theme import SPACE_L, SPACE_S, SPACE_XS, current_theme, set_look
from deltaworks_gui.widgets.buttons import (
    icon_button,
    primary_button,
    quiet_button,
    secondary_button,
)
from deltaworks_gui.widgets.check_list import CheckList
from deltaworks_gui.widgets.cost_panel import CostPanel
from deltaworks_gui.widgets.state_cell import StateLabel


class CostColumn(QWidget):
    """The cost panel with its margins, and under it what was checked.

    Signals:
        parameters_asked: the values of all layers are wanted.
    """

    parameters_asked = Signal()

    def __init__(self, controller: WorkbenchController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("WorkbenchCost")
        self._controller = controller
        self.panel = CostPanel()
        self.checks = CheckList()
        self.parameters = quiet_button(self.tr("Values of all layers…"), name="btn_parameters")
        set_look(self.parameters, align="start")
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE_L, SPACE_L, SPACE_L, SPACE_S)
        column.addWidget(self.panel)
        column.addSpacing(SPACE_S)
        column.addWidget(self.checks)
        column.addWidget(self.parameters, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch(1)
        self.parameters.clicked.connect(self.parameters_asked)
        self.panel.lane_chosen.connect(controller.set_lane)
        self.panel.evaluation_chosen.connect(controller.set_evaluation)
        self.panel.keep_chosen.connect(controller.set_keep)
        self.panel.memory_allowed.connect(controller.allow_memory)
        self.panel.folder_asked.connect(self._on_folder_asked)

    def stops(self) -> list[QWidget]:
        """Where Tab stops, in order."""
        return [*self.panel.stops(), self.parameters]

    def show_state(self) -> None:
        """Show the controller's cost."""
        state = self._controller.state
        self.panel.show_lines(cost_lines(state))
        self.panel.show_choices(
            [(lane.id, lane.title) for lane in state.lanes],
            state.lane,
            state.evaluations,
            state.evaluation,
            [(keep, tr(text)) for keep, text in KEEPS],
            state.keep,
        )
        self.panel.show_measured(state.kind.can_sweep, compares=state.operation == "merge")
        cost = state.cost
        is_merge = state.operation == "merge" and cost is not None
        self.checks.show_checks(cost.checks if cost is not None and is_merge else ())
        self.parameters.setVisible(cost is not None and is_merge and bool(cost.parameters))
        asks = cost is not None and not cost.error and memory_word(cost) == "will not fit"
        self.panel.show_memory(asks=asks, allowed=state.memory_allowed)

    @Slot()
    def _on_folder_asked(self) -> None:
        dialog = QFileDialog(self, self.tr("Evaluation set"))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(self._controller.set_evaluation)
        dialog.finished.connect(self.show_state)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()


class Foot(QWidget):
    """Why it cannot run, or the way to run it.

    Signals:
        save_asked: the recipe shall go to a file.
    """

    save_asked = Signal()

    def __init__(self, controller: WorkbenchController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("WorkbenchFoot")
        self._controller = controller
        self.reason = StateLabel("warn", "", wrap=True)
        self.reason.setObjectName("RunReason")
        self.run = primary_button(self.tr("&Run"), name="btn_run", large=True)
        self.run.setDefault(True)
        self.compare = secondary_button(self.tr("Compare all methods"), name="btn_compare_all")
        self.compare_hint = QLabel()
        self.compare_hint.setObjectName("CompareHint")
        self.compare_hint.setWordWrap(True)
        set_look(self.compare_hint, role="hint")
        self.queue = secondary_button(self.tr("Add to queue"), name="btn_queue")
        self.save = secondary_button(self.tr("Save recipe…"), name="btn_save_recipe")
        self.command = icon_button("copy", self.tr("Copy as command"), name="btn_copy_cmd")
        row = QHBoxLayout()
        row.setSpacing(SPACE_XS)
        row.addWidget(self.queue, 1)
        row.addWidget(self.save, 1)
        row.addWidget(self.command)
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE_L, SPACE_S, SPACE_L, SPACE_L)
        column.setSpacing(SPACE_S)
        column.addWidget(self.reason)
        column.addWidget(self.run)
        column.addWidget(self.compare)
        column.addWidget(self.compare_hint)
        column.addLayout(row)
        narrow = current_theme().metrics.control * 2
        for button in (self.run, self.compare, self.queue, self.save):
            button.setMinimumWidth(narrow)
        self.run.clicked.connect(controller.run)
        self.compare.clicked.connect(controller.compare_all)
        self.queue.clicked.connect(controller.queue)
        self.command.clicked.connect(controller.copy_command)
        self.save.clicked.connect(self.save_asked)

    def stops(self) -> list[QWidget]:
        """Where Tab stops, in order."""
        return [self.run, self.compare, self.queue, self.save, self.command]

    def show_state(self) -> None:
        """Show whether it can run, and how many trials."""
        state = self._controller.state
        text = _run_text(state)
        self.run.setText(text)
        self.run.setAccessibleName(text.replace("&", ""))
        self.reason.show_state("warn", state.why_not, state.why_not)
        self.reason.setVisible(bool(state.why_not))
        notes = "\n".join(state.cost.notes) if state.cost is not None else ""
        for button in (self.run, self.queue, self.save, self.command):
            button.setEnabled(not state.why_not)
        self.run.setToolTip(state.why_not or notes)
        self.run.setAccessibleDescription(state.why_not)
        self.queue.setToolTip(state.why_not or self.tr("Queue it and stay here"))
        self.save.setToolTip(state.why_not or self.tr("Save everything that is set here"))
        self._show_compare(state)
        self.command.setToolTip(state.why_not or self.tr("Copy as command"))

    def _show_compare(self, state: WorkbenchState) -> None:
        """For merges: the way to try them all, with what it will do or what it lacks."""
        is_merge = state.operation == "merge" and bool(state.active)
        self.compare.setVisible(is_merge)
        self.compare_hint.setVisible(is_merge)
        if not is_merge:
            return
        why = why_no_contest(state)
        self.compare.setEnabled(not why)
        hint = why or self.tr("Runs up to {0} methods at {1} settings; keeps the best.").format(
            *count_methods(len(state.active))
        )
        self.compare_hint.setText(hint)
        self.compare.setAccessibleDescription(hint)
        more = self.tr(
            "Merges these experts by every method whose needs are met, measures each result on "
            "the tasks, and shows them side by side. At most {0} on disk at once."
        ).format(format_size(disk_bytes(state)))
        self.compare.setToolTip(why or more)


def _run_text(state: WorkbenchState) -> str:
    count = count_trials(state)
    if not state.kind.can_sweep or count <= 1:
        return tr("&Run")
    return tr("&Run {0} trials").format(count)
