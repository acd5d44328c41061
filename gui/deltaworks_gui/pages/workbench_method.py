"""The middle column: method, its options, what it is compared with, what comes out."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QCheckBox, QLabel, QVBoxLayout, QWidget

from deltaworks_gui.pages import workbench_edit as edit
from deltaworks_gui.pages.workbench_controller import WorkbenchController
from deltaworks_gui.pages.workbench_picker import method_groups, method_tip
from deltaworks_gui.pages.workbench_recipe import count_settings, count_trials, faults_of
from deltaworks_gui.pages.workbench_rules import missing_inputs
from deltaworks_gui.pages.workbench_state import WorkbenchState, infos_of
from deltaworks_gui.theme import SPACE_L, SPACE_M, SPACE_S, SPACE_XL, current_theme, set_look
from deltaworks_gui.widgets.buttons import quiet_button
from deltaworks_gui.widgets.card import Card
from deltaworks_gui.widgets.flow_box import FlowBox
from deltaworks_gui.widgets.grouped_choice import GroupedChoice
from deltaworks_gui.widgets.option_form import OptionForm
from deltaworks_gui.widgets.state_cell import StateLabel


class MethodColumn(QWidget):
    """Shows method and options and hands on what is done to them."""

    def __init__(self, controller: WorkbenchController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("WorkbenchMethod")
        self._controller = controller
        self.method = GroupedChoice(object_name="MethodCombo", accessible_name=self.tr("Method"))
        self._label = QLabel(self.tr("Me&thod"))
        self._label.setBuddy(self.method)
        set_look(self._label, role="caption")
        self._about = QLabel()
        self._about.setWordWrap(True)
        set_look(self._about, role="secondary")
        self.form = OptionForm("ParamForm", can_sweep=True)
        self._bare = QLabel(self.tr("Nothing to set: it works the same way every time."))
        set_look(self._bare, role="hint")
        self._ask, self._many = self._make_ask()
        self.compare = CompareWell()
        self.result = OptionForm("ResultForm")
        self._fold = quiet_button(self.tr("Result"), name="btn_result_fold")
        self._fold.setAccessibleName(self.tr("Settings of the result"))
        set_look(self._fold, align="start")
        self._lay_out()
        self._connect()

    def stops(self) -> list[QWidget]:
        """Where Tab stops, in order."""
        checks = list(self.compare.checks.values())
        before = [self.method, *self.form.stops(), self._many, *checks]
        return [*before, self._fold, *self.result.stops()]

    def show_state(self) -> None:
        """Show the controller's method."""
        state = self._controller.state
        self._show_method(state)
        self._show_form(state)
        count = count_trials(state)
        self._ask.setVisible(count > state.cap)
        self._asked.show_state(
            "warn", self.tr("{0} trials: more than the usual {1}.").format(count, state.cap)
        )
        blocked = self._many.blockSignals(True)
        self._many.setChecked(state.many_allowed)
        self._many.blockSignals(blocked)
        self.compare.setVisible(state.kind.can_sweep)
        if state.kind.can_sweep:
            self.compare.show_state(state)
        self.result.set_options(infos_of(state.kind.result))
        self.result.show_values(
            state.result.values, faults=faults_of(state.kind.result, state.result)
        )

    def _show_method(self, state: WorkbenchState) -> None:
        blocked = self.method.blockSignals(True)
        self.method.show_groups(method_groups(state))
        self.method.choose(state.method.id)
        self._show_missing(state)
        self.method.blockSignals(blocked)
        self._about.setText(f"{state.method.summary} · {state.method.source}")
        self._about.setToolTip(state.method.evidence)

    def _show_missing(self, state: WorkbenchState) -> None:
        """Grey methods whose inputs are missing; the tip says what unlocks them."""
        methods = state.kind.methods.values()
        lacks = {one.id: missing_inputs(one, state) for one in methods}
        tips = {one.id: method_tip(one, lacks[one.id]) for one in methods}
        self.method.show_tips(tips, [one for one, lacking in lacks.items() if lacking])

    def _show_form(self, state: WorkbenchState) -> None:
        infos = infos_of(state.method.options)
        now = state.of(state.method.id)
        self.form.set_options(infos, can_sweep=state.kind.can_sweep)
        self.form.show_values(
            now.values,
            now.sweeps,
            faults_of(state.method.options, now),
            edit.changed_options(state),
        )
        self._bare.setVisible(not infos)

    def _make_ask(self) -> tuple[QWidget, QCheckBox]:
        box = QWidget()
        box.setObjectName("TrialCap")
        self._asked = StateLabel("warn", "", wrap=True)
        check = QCheckBox(self.tr("Run all of them"))
        check.setObjectName("chk_many")
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._asked)
        column.addWidget(check)
        return box, check

    def _lay_out(self) -> None:
        self.method.setMinimumWidth(4 * current_theme().metrics.control)
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE_XL, SPACE_L, SPACE_XL, SPACE_L)
        column.setSpacing(SPACE_S)
        column.addWidget(self._label)
        column.addWidget(self.method)
        column.addWidget(self._about)
        column.addSpacing(SPACE_M)
        column.addWidget(self.form)
        column.addWidget(self._bare)
        column.addWidget(self._ask)
        column.addSpacing(SPACE_S)
        column.addWidget(self.compare)
        column.addWidget(self._fold, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.result)
        column.addStretch(1)
        self._show_fold(opened=False)

    def _connect(self) -> None:
        self.method.chosen.connect(self._on_method)
        self.form.edited.connect(self._on_value)
        self.form.reset.connect(self._on_reset)
        self.form.sweep_toggled.connect(self._on_sweep)
        self.form.sweep_edited.connect(self._on_sweep_text)
        self._many.toggled.connect(self._controller.allow_many)
        self.compare.toggled.connect(self._on_compared)
        self.result.edited.connect(self._on_result)
        self.result.reset.connect(self._on_result_reset)
        self._fold.clicked.connect(self._on_fold)

    def _show_fold(self, *, opened: bool) -> None:
        self.result.setVisible(opened)
        icon = "chevron-down" if opened else "chevron-right"
        current_theme().bind_icon(self._fold, icon, "text-2", gap=SPACE_S // 2)
        self._fold.setAccessibleDescription(self.tr("shown") if opened else self.tr("folded away"))

    @Slot()
    def _on_fold(self) -> None:
        self._show_fold(opened=not self.result.isVisibleTo(self))

    @Slot(str)
    def _on_method(self, method: str) -> None:
        self._controller.change(edit.with_method(self._controller.state, method))

    @Slot(str, object)
    def _on_value(self, name: str, value: object) -> None:
        self._controller.change(edit.with_value(self._controller.state, name, value))

    @Slot(str)
    def _on_reset(self, name: str) -> None:
        self._controller.change(edit.with_reset(self._controller.state, name))

    @Slot(str, bool)
    def _on_sweep(self, name: str, on: bool) -> None:
        self._controller.change(edit.with_sweep(self._controller.state, name, on))
        self.form.rows[name].entry.setFocus()

    @Slot(str, str)
    def _on_sweep_text(self, name: str, text: str) -> None:
        self._controller.change(edit.with_sweep_text(self._controller.state, name, text))

    @Slot(str, bool)
    def _on_compared(self, method: str, on: bool) -> None:
        self._controller.change(edit.with_compared(self._controller.state, method, on))

    @Slot(str, object)
    def _on_result(self, name: str, value: object) -> None:
        self._controller.change(edit.with_result_value(self._controller.state, name, value))

    @Slot(str)
    def _on_result_reset(self, name: str) -> None:
        info = next(one for one in infos_of(self._controller.state.kind.result) if one.name == name)
        self._on_result(name, info.default)


class CompareWell(Card):
    """Ticks of the other methods, each with the number of settings it adds.

    Signals:
        toggled: (method, on), by the user's hand.
    """

    toggled = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(kind="well", parent=parent)
        self.set_title(self.tr("Also compare with"))
        self.setObjectName("CompareWell")
        self.checks: dict[str, QCheckBox] = {}
        self._flow = FlowBox(gap=SPACE_XL)
        self.add(self._flow)

    def show_state(self, state: WorkbenchState) -> None:
        """Show which methods are tried beside the chosen one."""
        for method in state.kind.methods.values():
            check = self.checks.get(method.id) or self._add(method.id, method.title)
            count = count_settings(method.options, state.of(method.id))
            text = self.tr("1 setting") if count == 1 else self.tr("{0} settings").format(count)
            check.setToolTip(f"{method.summary}\n{text}")
            check.setAccessibleDescription(text)
            blocked = check.blockSignals(True)
            check.setChecked(method.id in state.compared)
            check.blockSignals(blocked)
            check.setVisible(method.id != state.method.id)
        for method_id, check in self.checks.items():
            if method_id not in state.kind.methods:
                check.hide()

    def _add(self, method_id: str, title: str) -> QCheckBox:
        check = QCheckBox(title)
        check.setObjectName(f"compare_{method_id}")
        check.setAccessibleName(self.tr("Also compare with {0}").format(title))
        check.setProperty("method", method_id)
        check.toggled.connect(self._on_toggled)
        self._flow.add(check)
        self.checks[method_id] = check
        return check

    def _on_toggled(self, on: bool) -> None:
        check = self.sender()
        assert isinstance(check, QCheckBox)
        self.toggled.emit(str(check.property("method")), on)
