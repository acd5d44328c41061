"""The left column: base, experts, and whether they belong together."""

from __future__ import annotations

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QVBoxLayout, QWidget

from deltaworks_gui.pages import workbench_edit as edit
from deltaworks_gui.pages.workbench_controller import WorkbenchController
from deltaworks_gui.pages.workbench_words import expert_look, under_name
from deltaworks_gui.theme import SPACE_L, SPACE_M
from deltaworks_gui.widgets.expert_list import ExpertList
from deltaworks_gui.widgets.model_slot import ModelSlot


class InputsColumn(QWidget):
    """Shows the inputs and hands on what is done to them.

    Signals:
        choose_asked: ``base`` or ``experts``.
    """

    choose_asked = Signal(str)

    def __init__(self, controller: WorkbenchController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("WorkbenchInputs")
        self._controller = controller
        self.base = ModelSlot(
            "BaseSlot",
            self.tr("&Base"),
            "base",
            self.tr("Drop the model that the experts were tuned from."),
        )
        self.experts = ExpertList(self.tr("E&xperts"))
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE_L, SPACE_L, SPACE_L, SPACE_L)
        column.setSpacing(SPACE_M + SPACE_M // 2)
        column.addWidget(self.base)
        column.addWidget(self.experts)
        column.addStretch(1)
        self.base.choose_asked.connect(self._on_choose_base)
        self.base.clear_asked.connect(self._on_clear_base)
        self.base.ids_dropped.connect(self._on_base_ids)
        self.base.paths_dropped.connect(self._on_base_paths)
        self.experts.add_asked.connect(self._on_choose_experts)
        self.experts.ids_dropped.connect(self._on_expert_ids)
        self.experts.paths_dropped.connect(self._on_expert_paths)
        self.experts.asked.connect(self._on_asked)
        self.experts.enabled_toggled.connect(self._on_enabled)
        self.experts.option_edited.connect(self._on_option)
        self.experts.use_better.connect(controller.use_better)
        self.experts.anyway_toggled.connect(self._on_anyway)

    def show_state(self) -> None:
        """Show the controller's inputs."""
        state = self._controller.state
        if state.base is None:
            self.base.show_empty()
        else:
            under, tone = under_name(state.base)
            self.base.show_model(state.base.name, under, state.base.path, tone)
        self.experts.show_looks([expert_look(state, one) for one in state.experts])

    @Slot()
    def _on_choose_base(self) -> None:
        self.choose_asked.emit("base")

    @Slot()
    def _on_choose_experts(self) -> None:
        self.choose_asked.emit("experts")

    @Slot()
    def _on_clear_base(self) -> None:
        self._controller.change(edit.with_base(self._controller.state, None))

    @Slot(object)
    def _on_base_ids(self, ids: list[int]) -> None:
        self._controller.take_ids("base", ids)

    @Slot(object)
    def _on_base_paths(self, paths: list[str]) -> None:
        self._controller.take_paths("base", paths)

    @Slot(object)
    def _on_expert_ids(self, ids: list[int]) -> None:
        self._controller.take_ids("experts", ids)

    @Slot(object)
    def _on_expert_paths(self, paths: list[str]) -> None:
        self._controller.take_paths("experts", paths)

    @Slot(int, str)
    def _on_asked(self, place: int, entry: str) -> None:
        state = self._controller.state
        if entry == "up":
            self._controller.change(edit.with_moved(state, place, -1))
        elif entry == "down":
            self._controller.change(edit.with_moved(state, place, 1))
        elif entry == "base":
            self._controller.add_base(state.experts[place].row)
        elif entry == "remove":
            self._controller.change(edit.without_expert(state, place))

    @Slot(int, bool)
    def _on_enabled(self, place: int, on: bool) -> None:
        self._controller.change(edit.with_enabled(self._controller.state, place, on))

    @Slot(int, str, object)
    def _on_option(self, place: int, name: str, value: object) -> None:
        state = edit.with_expert_option(self._controller.state, place, name, value)
        self._controller.change(state)

    @Slot(int, bool)
    def _on_anyway(self, place: int, on: bool) -> None:
        self._controller.change(edit.with_anyway(self._controller.state, place, on))
