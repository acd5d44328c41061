"""Buttons, fields and small signs: keyboard, names, states."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QComboBox, QHBoxLayout, QLabel, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from deltaworks_gui.theme import Scheme, current_theme
from deltaworks_gui.widgets.busy import Busy
from deltaworks_gui.widgets.buttons import (
    danger_button,
    icon_button,
    link_button,
    primary_button,
    quiet_button,
    secondary_button,
)
from deltaworks_gui.widgets.card import Card
from deltaworks_gui.widgets.chip import Chip
from deltaworks_gui.widgets.choice_field import ChoiceField
from deltaworks_gui.widgets.elided_label import ElidedLabel
from deltaworks_gui.widgets.empty_state import EmptyState
from deltaworks_gui.widgets.fact_list import FactList
from deltaworks_gui.widgets.focus_ring import FocusRing
from deltaworks_gui.widgets.header import PageHeader
from deltaworks_gui.widgets.number_field import IntField, RealField
from deltaworks_gui.widgets.progress_line import ProgressLine
from deltaworks_gui.widgets.search_field import SearchField
from deltaworks_gui.widgets.segmented import SegmentedControl
from deltaworks_gui.widgets.state_cell import STATE_LOOKS, StateLabel, state_look
from deltaworks_resources import icon_names


@pytest.fixture(autouse=True)
def _look(qapp: QApplication) -> Iterator[None]:
    theme = current_theme()
    theme.apply(qapp, Scheme.LIGHT)
    yield
    theme.reduced_motion = False


@pytest.fixture
def operations(qtbot: QtBot) -> SegmentedControl:
    control = SegmentedControl(
        [("compress", "Compress"), ("merge", "Merge"), ("repair", "Safety repair")],
        object_name="OpSwitch",
        accessible_name="Operation",
    )
    qtbot.addWidget(control)
    with qtbot.waitExposed(control):
        control.show()
    return control


# --- Segmented control ----------------------------------------------------------------------


def test_the_first_segment_is_chosen(operations: SegmentedControl) -> None:
    assert operations.current == "compress"
    assert operations.objectName() == "OpSwitch"


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ([Qt.Key.Key_Right], "merge"),
        ([Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Right], "repair"),
        ([Qt.Key.Key_End, Qt.Key.Key_Left], "merge"),
        ([Qt.Key.Key_Down, Qt.Key.Key_Home], "compress"),
        ([Qt.Key.Key_Left], "compress"),
    ],
)
def test_keys_move_the_choice(
    operations: SegmentedControl, qtbot: QtBot, keys: list[Qt.Key], where: str
) -> None:
    for key in keys:
        qtbot.keyClick(operations, key)

    assert operations.current == where


def test_arrows_pass_over_a_refused_segment(operations: SegmentedControl, qtbot: QtBot) -> None:
    operations.set_segment_enabled("merge", False, "Needs two experts")

    qtbot.keyClick(operations, Qt.Key.Key_Right)

    assert operations.current == "repair"
    assert operations.findChild(QWidget, "OpSwitch_merge").toolTip() == "Needs two experts"


def test_a_choice_is_told_once(operations: SegmentedControl, qtbot: QtBot) -> None:
    told: list[str] = []
    operations.chosen.connect(told.append)

    qtbot.mouseClick(operations.findChild(QWidget, "OpSwitch_merge"), Qt.MouseButton.LeftButton)
    operations.choose("merge")

    assert told == ["merge"]


def test_only_the_chosen_segment_takes_the_tab_key(operations: SegmentedControl) -> None:
    operations.choose("repair")

    policies = {
        name: operations.findChild(QWidget, f"OpSwitch_{name}").focusPolicy()
        for name in ("compress", "merge", "repair")
    }

    assert policies["repair"] == Qt.FocusPolicy.StrongFocus
    assert operations.focusProxy().objectName() == "OpSwitch_repair"
    assert policies["merge"] == policies["compress"] == Qt.FocusPolicy.NoFocus


def test_segments_are_named_and_checkable(operations: SegmentedControl) -> None:
    button = operations.findChild(QWidget, "OpSwitch_repair")

    assert button.accessibleName() == "Safety repair"
    assert operations.accessibleName() == "Operation"
    assert operations.height() == current_theme().metrics.control


# --- Buttons --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [primary_button, secondary_button, quiet_button, danger_button, link_button]
)
def test_a_button_is_named_by_its_text(make: object, qtbot: QtBot) -> None:
    button = make("&Run", name="btn_run")  # type: ignore[operator]  # one of the factories
    qtbot.addWidget(button)

    assert button.accessibleName() == "Run"
    assert button.objectName() == "btn_run"


def test_an_icon_button_says_what_it_does(qtbot: QtBot) -> None:
    button = icon_button("close", "Close", name="btn_close", compact=True)
    qtbot.addWidget(button)

    assert button.accessibleName() == button.toolTip() == button.accessibleDescription() == "Close"
    assert min(button.sizeHint().width(), button.sizeHint().height()) >= 24


def test_controls_are_32_px_high(qtbot: QtBot) -> None:
    row = QWidget()
    layout = QHBoxLayout(row)
    combo = QComboBox()
    combo.addItems(["GPU 0"])
    controls = [secondary_button("Add"), QLineEdit(), combo, IntField(), RealField()]
    for control in controls:
        layout.addWidget(control)
    qtbot.addWidget(row)
    row.show()

    assert [control.sizeHint().height() for control in controls] == [32] * 5


def test_a_large_button_is_38_px_high(qtbot: QtBot) -> None:
    button = primary_button("Run", large=True)
    qtbot.addWidget(button)
    button.show()

    assert button.sizeHint().height() == 38


# --- Fields ---------------------------------------------------------------------------------


def test_escape_clears_a_search_before_it_goes_on(qtbot: QtBot) -> None:
    field = SearchField("Search name", object_name="LibrarySearch")
    qtbot.addWidget(field)
    field.setText("meridian")

    with qtbot.waitSignal(field.cleared):
        qtbot.keyClick(field, Qt.Key.Key_Escape)

    assert field.text() == ""
    assert field.accessibleName() == "Search name"


def test_the_wheel_passes_a_field_that_is_not_edited(qtbot: QtBot) -> None:
    field = IntField(0, 100, unit="ranks", accessible_name="Rank")
    qtbot.addWidget(field)
    field.setValue(8)
    turn = QWheelEvent(
        QPointF(5, 5),
        QPointF(5, 5),
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )

    field.wheelEvent(turn)

    assert field.value() == 8
    assert not turn.isAccepted()
    assert field.text() == "8 ranks"


def test_a_choice_keeps_its_id_when_the_list_changes(qtbot: QtBot) -> None:
    field = ChoiceField([("cpu", "CPU"), ("gpu0", "GPU 0")], accessible_name="Lane")
    qtbot.addWidget(field)
    field.choose("gpu0")
    told: list[str] = []
    field.chosen.connect(told.append)

    field.set_choices([("gpu1", "GPU 1"), ("gpu0", "GPU 0")])
    kept = field.current
    field.set_choices([("cpu", "CPU")])

    assert kept == "gpu0"
    assert told == ["cpu"]


def test_the_focus_ring_stands_around_what_has_the_keyboard(
    qapp: QApplication, qtbot: QtBot
) -> None:
    ring = FocusRing(qapp)
    page = QWidget()
    layout = QHBoxLayout(page)
    field, button = QLineEdit(), secondary_button("Add")
    layout.addWidget(field)
    layout.addWidget(button)
    qtbot.addWidget(page)
    page.show()
    page.activateWindow()

    button.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.waitUntil(lambda: ring.target is button)
    frame = page.findChild(QWidget, "FocusRing")

    assert frame.geometry() == button.geometry().adjusted(-4, -4, 4, 4)
    button.hide()
    assert ring.target is not button
    ring.deleteLater()


# --- Signs ----------------------------------------------------------------------------------


def test_a_label_shortens_paths_in_the_middle_and_names_at_the_end(qtbot: QtBot) -> None:
    whole = "/models/a/very/long/path/to/some/folder/model.safetensors"
    path, name = ElidedLabel(whole, is_path=True), ElidedLabel(whole)
    for label in (path, name):
        qtbot.addWidget(label)
        label.resize(160, 20)

    assert path.shown_text().startswith("/mo")
    assert path.shown_text().endswith("rs")
    assert name.shown_text().endswith("…")
    assert path.toolTip() == path.accessibleName() == whole


@pytest.mark.parametrize("state", STATE_LOOKS)
def test_every_state_has_an_icon_and_a_colour(state: str) -> None:
    look = state_look(state)

    assert look.icon in icon_names()
    current_theme().color(look.tone)


def test_an_unknown_state_is_a_question_mark() -> None:
    assert state_look("never heard of").icon == "unknown"


def test_a_state_is_a_word(qtbot: QtBot) -> None:
    label = StateLabel("missing", "Missing")
    qtbot.addWidget(label)

    label.show_state("ready", "Ready", "Header read today")

    assert (label.text, label.accessibleName(), label.toolTip()) == (
        "Ready",
        "Ready",
        "Header read today",
    )


def test_progress_is_told_in_words(qtbot: QtBot) -> None:
    bar = ProgressLine()
    qtbot.addWidget(bar)

    bar.set_value(460)
    known = bar.accessibleDescription()
    bar.set_value(-1)

    assert known == "46 %"
    assert bar.accessibleDescription() == "Working"


def test_a_spinner_turns_only_while_seen(qtbot: QtBot) -> None:
    busy = Busy()
    qtbot.addWidget(busy)

    busy.show()
    turned = busy.is_turning
    busy.hide()

    assert turned
    assert not busy.is_turning


def test_a_spinner_is_still_where_motion_is_not_wanted(qtbot: QtBot) -> None:
    current_theme().reduced_motion = True
    busy = Busy()
    qtbot.addWidget(busy)

    busy.show()

    assert not busy.is_turning


def test_a_chip_can_be_pressed_with_the_keyboard(qtbot: QtBot) -> None:
    chip = Chip("CPU idle", dot="text-3", object_name="LaneChip_cpu", clickable=True)
    qtbot.addWidget(chip)
    chip.show_state("CPU running", dot="accent", tooltip="2 of 8 GB")

    with qtbot.waitSignal(chip.clicked):
        qtbot.keyClick(chip, Qt.Key.Key_Space)

    assert chip.accessibleName() == "CPU running"


# --- Groups ---------------------------------------------------------------------------------


def test_facts_change_in_place(qtbot: QtBot) -> None:
    facts = FactList(accessible_name="Cost")
    qtbot.addWidget(facts)
    facts.set_fact("reads", "Reads", "48.3 GB")

    facts.set_fact("reads", "Reads", "12 GB", tone="warn", tooltip="12,000,000,000 bytes")

    assert facts.value("reads") == "12 GB"
    assert len(facts.findChildren(QWidget, "fact_reads")) == 1


def test_a_fact_with_a_widget_is_its_buddy(qtbot: QtBot) -> None:
    facts = FactList()
    lane = QComboBox()
    qtbot.addWidget(facts)

    facts.set_widget("lane", "Lane", lane)

    assert lane.accessibleName() == "Lane"
    assert [label.buddy() for label in facts.findChildren(QLabel) if label.text() == "Lane"] == [
        lane
    ]


def test_a_header_is_56_px_high_and_named(qtbot: QtBot) -> None:
    header = PageHeader("Library")
    qtbot.addWidget(header)
    header.add_action(secondary_button("Add folder…"))

    assert header.height() == 56
    assert header.title == header.accessibleName() == "Library"


def test_a_card_without_a_title_keeps_no_room_for_one(qtbot: QtBot) -> None:
    plain, titled = Card(), Card("Base")
    for card in (plain, titled):
        qtbot.addWidget(card)
        card.add(QLabel("Meridian 8B"))

    assert plain.sizeHint().height() < titled.sizeHint().height()


def test_an_empty_state_offers_the_way_on(qtbot: QtBot) -> None:
    empty = EmptyState(
        "Empty_Library",
        "Welcome",
        "See what your models weigh.",
        primary="Try the demo",
        illustration="welcome",
    )
    qtbot.addWidget(empty)

    with qtbot.waitSignal(empty.primary_clicked):
        empty.primary.click()

    assert empty.accessibleName() == "Welcome. See what your models weigh."
    assert empty.secondary.isHidden()
    assert not empty.primary.isHidden()
