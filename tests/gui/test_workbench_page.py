"""The Workbench as a page: columns, guard bars, cost, Run, keyboard, names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSlider,
    QVBoxLayout,
    QWidget,
)
from pytestqt.qtbot import QtBot

from deltaworks.engine.plan_types import OutputPlan, Plan, WorkItem
from deltaworks.library.rows import Match, ModelRow, State
from deltaworks.progress import JobControl
from deltaworks.recipes.schema import SweepRecipe
from deltaworks_gui.dialogs.choose_model import ChooseModelDialog
from deltaworks_gui.models.mime import MODELS, model_ids, put_models
from deltaworks_gui.pages import workbench_edit as edit
from deltaworks_gui.pages.workbench import WorkbenchPage
from deltaworks_gui.pages.workbench_columns import Columns
from deltaworks_gui.pages.workbench_controller import WorkbenchController
from deltaworks_gui.pages.workbench_recipe import JobRecipe, count_trials
from deltaworks_gui.payloads import WorkbenchInputs
from deltaworks_gui.widgets.choice_field import ChoiceField
from deltaworks_gui.widgets.cost_panel import CostPanel
from deltaworks_gui.widgets.empty_state import EmptyState
from deltaworks_gui.widgets.expert_list import ExpertCard
from deltaworks_gui.widgets.focus_ring import FocusRing
from deltaworks_gui.widgets.guard_bar import GuardBar
from deltaworks_gui.widgets.model_slot import ModelSlot
from deltaworks_gui.widgets.segmented import SegmentedControl
from deltaworks_gui.widgets.state_cell import StateLabel

if TYPE_CHECKING:
    from deltaworks_gui.context import AppContext

GB = 1_000_000_000


def row(number: int, name: str, role: str = "Expert", state: State = State.READY) -> ModelRow:
    return ModelRow(number, f"/m/{name}", name, "folder", role, state, 2 * GB, 0, dtype="BF16")


BASE, MATHS, CODE = row(1, "meridian", "Base"), row(2, "maths"), row(3, "code")
LEGAL, WIDE, SLOW = row(4, "legal"), row(5, "wide"), row(6, "slow")
SHAPES = ("up_proj: shape (8, 4) in the expert, (4, 4) in the base", "q_proj: …", "k_proj: …")


class Machine:
    def __init__(self) -> None:
        self.memory_free = 12 * GB

    def disk(self, _place: Path) -> tuple[int, int]:
        return 200 * GB, 250 * GB

    def memory(self, _lane: str) -> tuple[int, int]:
        return self.memory_free, 16 * GB


def planner(recipe: JobRecipe) -> Plan:
    item = WorkItem("w", "encode", 6 * GB, 4 * GB, 3 * GB)
    outputs = (OutputPlan("/o", GB // 4, 2 * GB), OutputPlan("/p", GB // 4, 2 * GB))
    return Plan("plan", (item,), outputs, 4 * GB * len(recipe.experts))


def matcher(base: str, expert: str, control: JobControl | None) -> Match:
    if expert == WIDE.path:
        return Match("mismatch", SHAPES[0], 0.5, offenders=SHAPES)
    if expert == SLOW.path and control is not None:
        control.cancelled.wait(10)
        control.check()
    if control is None:
        return Match("likely", "100 % of tensors fit, not confirmed", 1.0)
    if expert == LEGAL.path and base == BASE.path:
        text = "100 % of tensors fit, distance 1.4; lark fits better"
        return Match("doubtful", text, 1.0, 0.0, 1.4, better=("/m/lark", "lark"))
    return Match("match", "100 % of tensors fit, distance 0.03", 1.0, 0.1, 0.03)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def page(context: AppContext, machine: Machine, qtbot: QtBot) -> Iterator[WorkbenchPage]:
    controller = WorkbenchController(
        context, planner=planner, matcher=matcher, machine=machine, text="/data/text.txt"
    )
    made = WorkbenchPage(context, controller)
    controller.setParent(made)
    frame = QWidget()
    column = QVBoxLayout(frame)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    column.addWidget(made.header)
    column.addWidget(made, 1)
    frame.resize(1192, 716)
    qtbot.addWidget(frame)
    frame.show()
    frame.activateWindow()
    qtbot.waitActive(frame)
    yield made
    frame.close()


@pytest.fixture
def settle(page: WorkbenchPage, qtbot: QtBot) -> Callable[[], None]:
    def wait() -> None:
        def is_quiet() -> bool:
            state = page.controller.state
            levels = [one.guard.level for one in state.experts if one.guard and one.row is not SLOW]
            return not state.is_planning and "checking" not in levels

        qtbot.waitUntil(is_quiet, timeout=5000)

    return wait


Settle = Callable[[], None]
W = TypeVar("W", bound=QWidget)


def find(page: QWidget, kind: type[W], name: str = "") -> W:
    found = page.findChild(kind, name) if name else page.findChild(kind)
    assert found is not None, name
    return found


def bars(page: WorkbenchPage) -> list[GuardBar]:
    return [card.guard for card in page.findChildren(ExpertCard)]


def test_an_empty_bench_says_what_to_do(
    page: WorkbenchPage, context: AppContext, qtbot: QtBot
) -> None:
    empty = find(page, EmptyState, "Empty_Workbench")

    with qtbot.waitSignal(context.navigator.page_asked) as asked:
        empty.secondary.click()

    assert empty.isVisible()
    assert empty.title == "Choose a base and at least one expert"
    assert empty.sentence == "Drop them here or pick from the list."
    assert (empty.primary.text(), empty.secondary.text()) == ("Choose…", "Use demo")
    assert asked.args == ["Library", "demo"]


def test_inputs_from_another_page_fill_it(page: WorkbenchPage, settle: Settle) -> None:
    page.activate(WorkbenchInputs(BASE, (MATHS, CODE), "compress"))
    settle()

    assert find(page, ModelSlot, "BaseSlot").model_name == "meridian"
    assert [card.line.name for card in page.findChildren(ExpertCard)] == ["maths", "code"]
    assert [bar.level for bar in bars(page)] == ["match", "match"]
    assert bars(page)[0].text == "Match · 100 % of tensors fit, distance 0.03"
    assert find(page, QPushButton, "btn_run").isEnabled()


def test_added_models_join_what_is_there(page: WorkbenchPage, settle: Settle) -> None:
    page.activate(WorkbenchInputs(BASE, (MATHS,), "merge"))
    page.activate(WorkbenchInputs(experts=(CODE,), adds=True))

    assert [one.row for one in page.controller.state.experts] == [MATHS, CODE]
    assert page.controller.state.operation == "merge"
    settle()


def test_run_says_how_many_trials(page: WorkbenchPage, settle: Settle) -> None:
    page.controller.set_inputs(BASE, [MATHS])
    page.controller.change(replace(page.controller.state, compared=()))
    page.controller.change(edit.with_sweep_text(page.controller.state, "bits", "1, 2, 3"))
    run = find(page, QPushButton, "btn_run")
    several = run.text()

    page.controller.change(edit.with_sweep(page.controller.state, "bits", False))

    assert (several, run.text()) == ("&Run 3 trials", "&Run")
    assert run.accessibleName() == "Run"
    settle()


def test_a_disabled_run_has_its_reason_beside_it(page: WorkbenchPage, settle: Settle) -> None:
    page.controller.set_inputs(BASE, [])
    run, reason = find(page, QPushButton, "btn_run"), find(page, StateLabel, "RunReason")

    assert not run.isEnabled()
    assert reason.isVisible()
    assert reason.text == run.toolTip() == "Choose at least one expert."
    for name in ("btn_queue", "btn_save_recipe", "btn_copy_cmd"):
        button = find(page, QAbstractButton, name)
        assert (button.isEnabled(), button.toolTip()) == (False, reason.text)
    page.controller.add_expert(MATHS)
    assert run.isEnabled()
    assert not reason.isVisible()
    settle()


def test_doubt_asks_for_a_tick_and_offers_the_better_base(
    page: WorkbenchPage, settle: Settle
) -> None:
    page.controller.set_inputs(BASE, [LEGAL])
    settle()
    bar = bars(page)[0]
    tick, use = find(bar, QCheckBox, "chk_run_anyway"), find(bar, QPushButton, "btn_use_better")
    run = find(page, QPushButton, "btn_run")
    before = (bar.level, tick.isVisible(), use.isVisible(), run.isEnabled())

    tick.click()
    ticked = run.isEnabled()
    use.click()
    settle()

    assert before == ("doubtful", True, True, False)
    assert ticked
    assert bar.level == "match"
    assert find(page, ModelSlot, "BaseSlot").model_name == "lark"
    assert not tick.isVisible()


def test_a_mismatch_shows_the_tensors_and_blocks(page: WorkbenchPage, settle: Settle) -> None:
    page.controller.set_inputs(BASE, [WIDE])
    settle()
    bar = bars(page)[0]

    assert bar.level == "mismatch"
    assert find(bar, QLabel, "guard_details").text().split("\n") == list(SHAPES)
    assert not find(page, QPushButton, "btn_run").isEnabled()


def test_checking_shows_a_spinner_and_lets_run(page: WorkbenchPage, qtbot: QtBot) -> None:
    page.controller.set_inputs(BASE, [SLOW])

    qtbot.waitUntil(lambda: "100 %" in bars(page)[0].text)

    assert bars(page)[0].level == "checking"
    assert find(page, QPushButton, "btn_run").isEnabled()
    page.controller.change(edit.without_expert(page.controller.state, 0))


def test_the_panel_tells_the_cost(page: WorkbenchPage, settle: Settle) -> None:
    page.controller.set_inputs(BASE, [MATHS])
    settle()

    facts = find(page, CostPanel).facts
    assert {key: facts.value(key) for key in ("reads", "writes", "memory", "time", "result")} == {
        "reads": "6.00 GB",
        "writes": "at most 4.00 GB · 196 GB free after",
        "memory": "8.40 of 12.0 GB · fits",
        "time": "no estimate yet",
        "result": "250 MB – 2.00 GB · 2.0–16×",
    }


def test_what_will_not_fit_can_be_run_with_a_tick(
    page: WorkbenchPage, machine: Machine, settle: Settle
) -> None:
    machine.memory_free = GB
    page.controller.set_inputs(BASE, [MATHS])
    settle()
    tick, run = find(page, QCheckBox, "chk_memory_anyway"), find(page, QPushButton, "btn_run")
    before = (tick.isVisible(), run.isEnabled())

    tick.click()

    assert before == (True, False)
    assert run.isEnabled()
    assert find(page, CostPanel).facts.value("memory").endswith("will not fit")


def test_the_cap_asks_beside_the_form(page: WorkbenchPage, settle: Settle) -> None:
    page.controller.set_inputs(BASE, [MATHS])
    page.controller.change(edit.with_sweep_text(page.controller.state, "bits", "0.1:10:90"))
    tick, run = find(page, QCheckBox, "chk_many"), find(page, QPushButton, "btn_run")
    before = (tick.isVisible(), run.isEnabled())

    tick.click()

    assert before == (True, False)
    assert run.isEnabled()
    assert QApplication.activeModalWidget() is None
    settle()


def test_settings_are_made_with_the_hand(page: WorkbenchPage, settle: Settle) -> None:
    page.controller.set_inputs(BASE, [MATHS])
    find(page, ChoiceField, "MethodCombo").choose("dare")
    line = find(page, QLineEdit, "sweep_drop_rate")
    line.clear()
    QTest.keyClicks(line, "0.5, 2")
    fault = find(page, QLabel, "fault_drop_rate").text()
    find(page, QAbstractButton, "reset_drop_rate").click()
    find(page, QCheckBox, "compare_magnitude").click()

    recipe = page.controller.recipe()

    assert fault == "2 is too large: at least 0, below 1"
    assert isinstance(recipe, SweepRecipe)
    assert {"dare", "magnitude", "sign"} <= {one.method for one in recipe.settings}
    assert not find(page, QCheckBox, "compare_dare").isVisible()
    settle()


def test_merges_ask_for_weights_and_measure_nothing(page: WorkbenchPage, settle: Settle) -> None:
    page.controller.set_inputs(BASE, [MATHS, CODE])
    find(page.header, SegmentedControl, "OpSwitch").choose("merge")
    weights = page.findChildren(QAbstractSpinBox, "value_weight")
    QTest.keyClick(weights[1], Qt.Key.Key_Up)

    assert len(weights) == 2
    assert page.controller.state.experts[1].options == {"weight": 1.05}
    assert not find(page, QComboBox, "Cost_keep").isVisible()
    assert not find(page, QWidget, "CompareWell").isVisible()
    assert not find(page, QAbstractButton, "btn_sweep_scale").isVisible()
    settle()


def test_a_preset_is_named_in_the_page_and_chosen_from_the_menu(
    page: WorkbenchPage, settle: Settle
) -> None:
    page.controller.set_inputs(BASE, [MATHS])
    page.controller.change(edit.with_sweep_text(page.controller.state, "bits", "3"))
    button = find(page.header, QAbstractButton, "btn_preset")
    changed = button.text()

    page._preset_name.ask()
    QTest.keyClicks(find(page, QLineEdit, "preset_name"), "Three bits")
    find(page, QPushButton, "btn_preset_save").click()
    named = button.text()
    page.controller.choose_preset("closest")

    assert (changed, named, button.text()) == ("Custom", "Three bits", "Closest")
    settle()


# --- drag and drop, choosing ----------------------------------------------------------------


def drop(target: QWidget, data: QMimeData) -> bool:
    at = QPoint(8, 8)
    copy, left = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    enter = QDragEnterEvent(at, copy, data, left, Qt.KeyboardModifier.NoModifier)
    enter.ignore()
    QApplication.sendEvent(target, enter)
    if enter.isAccepted():
        event = QDropEvent(QPointF(at), copy, data, left, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(target, event)
    return enter.isAccepted()


def test_rows_drop_on_the_slots(
    page: WorkbenchPage, context: AppContext, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    known = {one.id: one for one in (BASE, MATHS, CODE)}
    monkeypatch.setattr(context.library, "some_rows", lambda ids: [known[one] for one in ids])
    page.controller.set_inputs(BASE, [MATHS])
    data, other = QMimeData(), QMimeData()
    put_models(data, [3])
    other.setText("hello")

    taken = drop(page.findChildren(ExpertCard)[0], data)
    refused = drop(find(page, ModelSlot, "BaseSlot"), other)

    assert (taken, refused) == (True, False)
    qtbot.waitUntil(lambda: len(page.controller.state.experts) == 2)
    assert page.controller.state.experts[1].row == CODE


def test_folders_drop_on_the_slots(
    page: WorkbenchPage, tiny_base: Path, tiny_expert: Path, qtbot: QtBot
) -> None:
    page.controller.set_inputs(None, [MATHS])
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tiny_base))])

    drop(find(page, ModelSlot, "BaseSlot"), data)

    def is_read() -> bool:
        base = page.controller.state.base
        return base is not None and base.state is State.READY

    qtbot.waitUntil(is_read)


@pytest.mark.parametrize("text", ["no json", '{"a": 1}', '["x", null, true]'])
def test_a_drag_that_is_not_ours_holds_no_rows(text: str) -> None:
    data = QMimeData()
    data.setData(MODELS, text.encode())

    assert model_ids(data) == []
    data.setData(MODELS, json.dumps([1, 2]).encode())
    assert model_ids(data) == [1, 2]


def test_only_usable_models_can_be_chosen(qtbot: QtBot, page: WorkbenchPage) -> None:
    rows = [MATHS, BASE, row(7, "gone", state=State.MISSING), row(8, "away", state=State.OFFLINE)]
    rows.append(row(9, "cut", state=State.UNREADABLE))
    dialog = ChooseModelDialog("Choose a base", rows, several=False, first="Base")
    qtbot.addWidget(dialog)
    shown = dialog.view.model()
    names = [shown.index(place, 0).data() for place in range(shown.rowCount())]
    ok = find(dialog, QPushButton, "btn_choose")
    before = ok.isEnabled()
    find(dialog, QLineEdit, "ChooseSearch").setText("MATH")
    dialog.view.setCurrentIndex(shown.index(0, 0))

    with qtbot.waitSignal(dialog.chosen) as chosen:
        ok.click()

    assert names == ["meridian", "maths"]
    assert not before
    assert chosen.args == [[MATHS]]


# --- keyboard and names ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "name"),
    [("B", "base"), ("X", "experts"), ("T", "MethodCombo")],
)
def test_a_mnemonic_leads_to_each_part(
    page: WorkbenchPage, settle: Settle, key: str, name: str
) -> None:
    page.controller.set_inputs(BASE, [MATHS])
    settle()
    targets: dict[str, QWidget] = {
        "base": find(page, ModelSlot, "BaseSlot").findChildren(QAbstractButton)[0],
        "experts": page.findChildren(ExpertCard)[0].check,
        "MethodCombo": find(page, QComboBox, "MethodCombo"),
    }

    QTest.keyClick(page.window(), getattr(Qt.Key, f"Key_{key}"), Qt.KeyboardModifier.AltModifier)

    assert QApplication.focusWidget() is targets[name]


def test_run_by_its_mnemonic_and_by_enter(
    page: WorkbenchPage, context: AppContext, settle: Settle, qtbot: QtBot
) -> None:
    page.controller.set_inputs(BASE, [MATHS])
    settle()

    QTest.keyClick(page.window(), Qt.Key.Key_R, Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: len(context.queue.jobs()) == 1)  # the button is seen to go down first
    line = find(page, QLineEdit, "sweep_bits")
    line.setFocus()
    QTest.keyClick(line, Qt.Key.Key_Return)

    assert len(context.queue.jobs()) == 2
    qtbot.waitUntil(lambda: not context.queue.busy, timeout=5000)


def test_tab_goes_in_reading_order(page: WorkbenchPage, settle: Settle) -> None:
    page.controller.set_inputs(BASE, [MATHS, CODE])
    settle()
    first = find(page, ModelSlot, "BaseSlot").findChildren(QAbstractButton)[0]
    first.setFocus()
    seen: list[str] = []
    for _ in range(40):
        widget = QApplication.focusWidget()
        assert widget is not None
        seen.append(widget.accessibleName())
        QTest.keyClick(widget, Qt.Key.Key_Tab)

    marks = [
        "More for meridian",
        "maths takes part",
        "code takes part",
        "Add expert",
        "Method",
        "Sweep Bits per weight",
        "Also compare with Delta-DCT",
        "Lane",
        "Quality check",
        "Keep",
        f"Run {count_trials(page.controller.state)} trials",
        "Add to queue",
    ]
    assert [one for one in seen if one in marks][: len(marks)] == marks


def test_everything_has_a_name(page: WorkbenchPage, settle: Settle) -> None:
    page.controller.set_inputs(BASE, [MATHS, LEGAL])
    settle()
    for operation in ("compress", "merge"):
        page.controller.set_operation(operation)
        settle()
        for root in (page, page.header):
            kinds = (QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit, QSlider)
            nameless = [
                one.objectName() or repr(one)
                for one in root.findChildren(QWidget)
                if isinstance(one, kinds)
                and not one.accessibleName()
                and one.objectName() != "qt_spinbox_lineedit"
                and one.isVisible()
            ]
            assert nameless == []
            labels = [one for one in root.findChildren(QLabel) if "&" in one.text()]
            assert all(one.buddy() is not None for one in labels)


def test_mnemonics_are_unique(page: WorkbenchPage, settle: Settle) -> None:
    page.controller.set_inputs(BASE, [MATHS])
    settle()
    texts = [one.text() for one in page.findChildren(QLabel) if one.isVisible()]
    texts += [one.text() for one in page.findChildren(QAbstractButton) if one.isVisible()]
    keys = [text[text.index("&") + 1].upper() for text in texts if "&" in text]

    assert sorted(keys) == ["B", "R", "T", "X"]


def test_the_ring_around_a_field_is_whole(
    page: WorkbenchPage, settle: Settle, qapp: QApplication, qtbot: QtBot
) -> None:
    ring = FocusRing(qapp)
    page.controller.set_inputs(BASE, [MATHS])
    settle()
    field = find(page, QAbstractSpinBox, "value_rank")

    field.setFocus()
    frame = find(page, QWidget, "FocusRing")
    before = frame.mapTo(page, QPoint())
    page.controller.change(edit.with_sweep_text(page.controller.state, "bits", "0.1:10:90"))
    find(page, QCheckBox, "chk_many").parentWidget().layout().activate()  # type: ignore[union-attr]  # it has both

    host = frame.parentWidget()
    assert host is not None
    assert host.rect().contains(frame.geometry())
    assert frame.mapTo(page, QPoint(4, 4)) == field.mapTo(page, QPoint())
    assert before.x() == frame.mapTo(page, QPoint()).x()
    qtbot.waitUntil(lambda: not page.controller.state.is_planning)
    ring.deleteLater()


# --- room -----------------------------------------------------------------------------------


def test_three_columns_hold_in_the_smallest_window(
    page: WorkbenchPage, settle: Settle, qtbot: QtBot
) -> None:
    page.controller.set_inputs(BASE, [MATHS, LEGAL])
    settle()
    page.window().resize(960 - 88, 600 - 56)

    def is_settled() -> bool:
        areas = [area for area in page.findChildren(QScrollArea) if area.isVisible()]
        return not any(area.horizontalScrollBar().isVisible() for area in areas)

    qtbot.waitUntil(is_settled, timeout=2000)
    assert find(page, Columns).is_wide
    for name in ("btn_run", "btn_queue", "btn_save_recipe"):
        button = find(page, QPushButton, name)
        text = button.fontMetrics().horizontalAdvance(button.text().replace("&", ""))
        assert text <= button.width() - 20, name


def test_the_parts_pile_up_where_there_is_no_room_and_keep_what_they_show(
    page: WorkbenchPage, context: AppContext, settle: Settle, qapp: QApplication
) -> None:
    page.controller.set_inputs(BASE, [MATHS])
    settle()
    context.theme.apply(qapp, "light", text_scale=2.0)
    page.window().resize(960 - 176, 600)
    QApplication.processEvents()
    columns = find(page, Columns)
    piled = not columns.is_wide
    run = find(page, QPushButton, "btn_run")
    in_sight = run.visibleRegion().boundingRect().height() == run.height()

    context.theme.apply(qapp, "light")
    page.window().resize(1192, 716)
    QApplication.processEvents()

    assert piled
    assert in_sight
    assert columns.is_wide
    assert find(page, ModelSlot, "BaseSlot").model_name == "meridian"


def test_the_command_goes_to_the_clipboard(
    page: WorkbenchPage, settle: Settle, qtbot: QtBot
) -> None:
    page.controller.set_inputs(BASE, [MATHS])
    settle()

    with qtbot.waitSignal(page.controller.command_ready):
        find(page, QAbstractButton, "btn_copy_cmd").click()

    assert QGuiApplication.clipboard().text().startswith("deltaworks-cli sweep ")
