"""Choose inputs, method and settings; see the cost; run."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication, QKeyEvent
from PySide6.QtWidgets import QFileDialog, QLabel, QStackedLayout, QVBoxLayout, QWidget

from deltaworks.errors import AppError
from deltaworks.library.rows import ModelRow
from deltaworks.methods import METHODS
from deltaworks.recipes.schema import (
    CompressRecipe,
    ContestRecipe,
    MergeRecipe,
    RepairRecipe,
    RepairSweepRecipe,
    SweepRecipe,
)
from deltaworks_gui.context import AppContext
from deltaworks_gui.dialogs.choose_model import ChooseModelDialog
from deltaworks_gui.dialogs.parameters import ParametersDialog
from deltaworks_gui.models.mime import model_ids
from deltaworks_gui.page import Handler, Page
from deltaworks_gui.pages.workbench_columns import Columns
from deltaworks_gui.pages.workbench_controller import WorkbenchController
from deltaworks_gui.pages.workbench_foot import CostColumn, Foot
from deltaworks_gui.pages.workbench_inputs import InputsColumn
from deltaworks_gui.pages.workbench_method import MethodColumn
from deltaworks_gui.pages.workbench_preset_menu import PresetButton, PresetName
from deltaworks_gui.pages.workbench_state import OPERATIONS
from deltaworks_gui.pages.workbench_words import tr
from deltaworks_gui.payloads import WorkbenchDemo, WorkbenchInputs
from deltaworks_gui.widgets.empty_state import EmptyState
from deltaworks_gui.widgets.segmented import SegmentedControl
from deltaworks_resources import demo_folder

_TEXT = "evaluation/text.txt"


class WorkbenchPage(Page):
    """Builds the columns, forwards what is done, shows ``controller.state``.

    Args:
        context: what pages share.
        controller: of its own without.
    """

    def __init__(
        self,
        context: AppContext,
        controller: WorkbenchController | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(context, "Workbench", tr("Workbench"), parent)
        self.controller = controller or WorkbenchController(
            context, text=str(demo_folder() / _TEXT), parent=self
        )
        self._switch = SegmentedControl(
            [(one.id, tr(one.title)) for one in OPERATIONS.values()],
            object_name="OpSwitch",
            accessible_name=self.tr("Operation"),
        )
        self._preset = PresetButton()
        self._preset_name = PresetName()
        self.header.add_lead(self._switch)
        self.header.add_action(self._preset)
        self._inputs = InputsColumn(self.controller)
        self._method = MethodColumn(self.controller)
        self._cost = CostColumn(self.controller)
        self._foot = Foot(self.controller)
        self._columns = Columns(self._inputs, self._method, self._cost, self._foot)
        self._empty = EmptyState(
            "Empty_Workbench",
            self.tr("Choose a base and at least one expert"),
            self.tr("Drop them here or pick from the list."),
            primary=self.tr("Choose…"),
            secondary=self.tr("Use demo"),
            icon="workbench",
        )
        self._ordered: tuple[object, ...] = ()
        self._slot = ""
        self._lay_out()
        self._connect()
        self._show()

    # --- what the window asks -------------------------------------------------------------------

    @property
    def wants_inspector(self) -> bool:
        """The columns say it all."""
        return False

    def handlers(self) -> Mapping[str, Handler]:
        """Run, from the menu and by its key."""
        return {"act_run": Handler(self.controller.run, self._why_not)}

    def activate(self, payload: object = None) -> None:
        """Come to the front; take models, the demo or a recipe."""
        try:
            self._take(payload)
        except AppError as error:
            self.context.navigator.banner("bad", str(error), key="workbench", stays=True)

    def focus_body(self) -> None:
        """The keyboard goes to what is to do next."""
        if self._empty.isVisibleTo(self):
            self._empty.primary.setFocus()
        elif self._foot.run.isEnabled():
            self._foot.run.setFocus()
        else:
            self._method.method.setFocus()

    # --- building -------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        for label in self._empty.findChildren(QLabel):
            label.setWordWrap(True)  # large text must not make the window wider
        body = QWidget()
        self._stack = QStackedLayout(body)
        self._stack.addWidget(self._empty)
        self._stack.addWidget(self._columns)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._preset_name)
        column.addWidget(body, 1)
        self.setAcceptDrops(True)

    def _connect(self) -> None:
        self._switch.chosen.connect(self.controller.set_operation)
        self._preset.chosen.connect(self.controller.choose_preset)
        self._preset.save_asked.connect(self._preset_name.ask)
        self._preset.removed.connect(self.controller.remove_preset)
        self._preset_name.named.connect(self.controller.save_preset)
        self._inputs.choose_asked.connect(self._on_choose)
        self._empty.primary_clicked.connect(self._on_choose_first)
        self._empty.secondary_clicked.connect(self._on_demo)
        self._foot.save_asked.connect(self._on_save)
        self._cost.parameters_asked.connect(self._on_parameters)
        self.controller.changed.connect(self._show)
        self.controller.run_ready.connect(self._on_run_ready)
        self.controller.command_ready.connect(self._on_command)

    def _show(self) -> None:
        state = self.controller.state
        self._switch.choose(state.operation)
        self._preset.show_state(state)
        is_empty = state.base is None and not state.experts
        self._preset.setVisible(not is_empty)
        self._stack.setCurrentWidget(self._empty if is_empty else self._columns)
        self._inputs.show_state()
        self._method.show_state()
        self._cost.show_state()
        self._foot.show_state()
        self._set_tab_order()

    def _set_tab_order(self) -> None:
        """Anew whenever fields or cards came or went."""
        state = self.controller.state
        parts = (len(state.experts), state.operation, state.method.id)
        if parts != self._ordered:
            self._ordered = parts
            inputs = self._inputs.stops()
            ends = [*self._cost.stops(), *self._foot.stops()]
            for one, other in pairwise([*inputs, *self._method.stops(), *ends]):
                self.setTabOrder(one, other)

    # --- what is done ---------------------------------------------------------------------------

    def _why_not(self) -> str:
        return self.controller.state.why_not

    def _take(self, payload: object) -> None:
        match payload:
            case WorkbenchInputs(adds=False):
                self.controller.set_inputs(payload.base, payload.experts, payload.operation)
            case WorkbenchInputs():
                if payload.base is not None:
                    self.controller.add_base(payload.base)
                for row in payload.experts:
                    self.controller.add_expert(row)
            case WorkbenchDemo(demo):
                self.controller.fill_demo(demo)
            case (
                CompressRecipe()
                | SweepRecipe()
                | MergeRecipe()
                | ContestRecipe()
                | RepairRecipe()
                | RepairSweepRecipe()
                | dict()
            ):
                self.controller.load_recipe(payload)
            case Path():
                self.controller.open_recipe(payload)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter runs, wherever the keyboard is, unless the part there needs it."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._foot.run.isEnabled():
            self._foot.run.click()
            return
        super().keyPressEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Rows of the library are welcome anywhere; what is a base goes to its slot."""
        if model_ids(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Take the rows."""
        event.acceptProposedAction()
        self.controller.take_ids("any", model_ids(event.mimeData()))

    @Slot()
    def _on_run_ready(self) -> None:
        self._foot.run.setFocus(Qt.FocusReason.OtherFocusReason)

    @Slot(str)
    def _on_command(self, command: str) -> None:
        QGuiApplication.clipboard().setText(command)

    @Slot()
    def _on_demo(self) -> None:
        self.context.navigator.show_page("Library", "demo")

    @Slot()
    def _on_choose_first(self) -> None:
        self._on_choose("base")

    @Slot(str)
    def _on_choose(self, slot: str) -> None:
        library = self.context.library
        self._slot = slot
        receivers = {"base": self._on_base_list, "experts": self._on_expert_list}
        receiver = receivers.get(slot, self._on_extra_list)
        self.context.tasks.start(lambda _: library.rows(), succeeded=receiver)

    @Slot(object)
    def _on_base_list(self, rows: list[ModelRow]) -> None:
        dialog = self._choose(self.tr("Choose a base"), rows, several=False, first="Base")
        dialog.chosen.connect(self._on_base_chosen)

    @Slot(object)
    def _on_expert_list(self, rows: list[ModelRow]) -> None:
        taken = {one.row.path for one in self.controller.state.experts}
        if self.controller.state.base is not None:
            taken.add(self.controller.state.base.path)
        left = [row for row in rows if row.path not in taken]
        dialog = self._choose(self.tr("Add experts"), left, several=True, first="Expert")
        dialog.chosen.connect(self._on_experts_chosen)

    @Slot(object)
    def _on_extra_list(self, rows: list[ModelRow]) -> None:
        slot = next(one for one in self.controller.state.kind.slots if one.id == self._slot)
        first = "Base" if slot.icon == "base" else "Expert"
        dialog = self._choose(tr(slot.title), rows, several=False, first=first)
        dialog.chosen.connect(self._on_extra_chosen)

    @Slot(object)
    def _on_extra_chosen(self, rows: list[ModelRow]) -> None:
        self.controller.set_extra(self._slot, rows[0])

    def _choose(
        self, title: str, rows: list[ModelRow], *, several: bool, first: str
    ) -> ChooseModelDialog:
        dialog = ChooseModelDialog(
            title, rows, self.window(), self.context.settings, several=several, first=first
        )
        dialog.open()
        return dialog

    @Slot(object)
    def _on_base_chosen(self, rows: list[ModelRow]) -> None:
        self.controller.add_base(rows[0])

    @Slot(object)
    def _on_experts_chosen(self, rows: list[ModelRow]) -> None:
        for row in rows:
            self.controller.add_expert(row)

    @Slot()
    def _on_parameters(self) -> None:
        cost = self.controller.state.cost
        if cost is not None and cost.parameters:
            titles = {
                one: METHODS[one].title
                for one in {row.method for row in cost.parameters} - {"copy"}
            }
            ParametersDialog(cost.parameters, titles, self.window(), self.context.settings).open()

    @Slot()
    def _on_save(self) -> None:
        dialog = QFileDialog(self, self.tr("Save recipe"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilters([self.tr("Recipes (*.json)"), self.tr("Recipes (*.yaml)")])
        dialog.setDefaultSuffix("json")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._on_save_to)
        dialog.open()

    @Slot(str)
    def _on_save_to(self, path: str) -> None:
        self.controller.save_recipe(Path(path))
