"""The left column: base, experts, and whether they belong together."""

from __future__ import annotations

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from deltaworks.library.rows import ModelRow
from deltaworks_gui.pages import workbench_edit as edit
from deltaworks_gui.pages.workbench_controller import WorkbenchController
from deltaworks_gui.pages.workbench_recipe import faults_of
from deltaworks_gui.pages.workbench_state import OPERATIONS, infos_of
from deltaworks_gui.pages.workbench_state import Slot as ModelPlace
from deltaworks_gui.pages.workbench_words import expert_look, tr, under_name
from deltaworks_gui.theme import SPACE_L, SPACE_M, set_look
from deltaworks_gui.widgets.expert_list import ExpertList
from deltaworks_gui.widgets.model_slot import ModelSlot
from deltaworks_gui.widgets.option_form import OptionForm


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
        self.extras = {slot.id: _extra(slot) for one in OPERATIONS.values() for slot in one.slots}
        self._given_label = QLabel(self.tr("Texts"))
        set_look(self._given_label, role="caption")
        self.given = OptionForm("GivenForm")
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE_L, SPACE_L, SPACE_L, SPACE_L)
        column.setSpacing(SPACE_M + SPACE_M // 2)
        column.addWidget(self.base)
        column.addWidget(self.experts)
        column.addWidget(self._given_label)
        column.addWidget(self.given)
        for slot in self.extras.values():
            column.addWidget(slot)
            slot.choose_asked.connect(self._on_choose_extra)
            slot.clear_asked.connect(self._on_clear_extra)
            slot.ids_dropped.connect(self._on_extra_ids)
            slot.paths_dropped.connect(self._on_extra_paths)
        column.addStretch(1)
        self.given.edited.connect(self._on_given)
        self.given.reset.connect(self._on_given_reset)
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
        title, invitation = state.kind.base
        self.base.set_words(tr(title), tr(invitation))
        self.experts.set_title(tr(state.kind.experts))
        _show_slot(self.base, state.base)
        wanted = {slot.id for slot in state.kind.slots}
        for name, slot in self.extras.items():
            slot.setVisible(name in wanted)
            _show_slot(slot, state.extras.get(name))
        given = state.kind.given
        self.given.setVisible(given is not None)
        self._given_label.setVisible(given is not None)
        if given is not None:
            self.given.set_options(infos_of(given))
            self.given.show_values(state.given.values, faults=faults_of(given, state.given))
        self.experts.show_looks([expert_look(state, one) for one in state.experts])

    def stops(self) -> list[QWidget]:
        """Where Tab stops, in order."""
        extras = [stop for slot in self.extras.values() for stop in slot.stops()]
        return [*self.base.stops(), *self.experts.stops(), *self.given.stops(), *extras]

    def _slot_of(self, sender: object) -> str:
        return next(name for name, slot in self.extras.items() if slot is sender)

    @Slot()
    def _on_choose_extra(self) -> None:
        self.choose_asked.emit(self._slot_of(self.sender()))

    @Slot()
    def _on_clear_extra(self) -> None:
        self._controller.set_extra(self._slot_of(self.sender()), None)

    @Slot(object)
    def _on_extra_ids(self, ids: list[int]) -> None:
        self._controller.take_ids(self._slot_of(self.sender()), ids)

    @Slot(object)
    def _on_extra_paths(self, paths: list[str]) -> None:
        self._controller.take_paths(self._slot_of(self.sender()), paths)

    @Slot(str, object)
    def _on_given(self, name: str, value: object) -> None:
        self._controller.change(edit.with_given_value(self._controller.state, name, value))

    @Slot(str)
    def _on_given_reset(self, name: str) -> None:
        given = self._controller.state.kind.given
        assert given is not None
        info = next(one for one in infos_of(given) if one.name == name)
        self._on_given(name, info.default)

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


def _extra(place: ModelPlace) -> ModelSlot:
    """A slot for one of an operation's further models."""
    name = f"{place.id.capitalize()}Slot"
    return ModelSlot(name, tr(place.title), place.icon, tr(place.hint))


def _show_slot(slot: ModelSlot, row: ModelRow | None) -> None:
    if row is None:
        slot.show_empty()
        return
    under, tone = under_name(row)
    slot.show_model(row.name, under, row.path, tone)
