"""A form made from a declaration with every kind of option (A17)."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QCheckBox,
    QLabel,
    QLineEdit,
    QSlider,
    QToolButton,
    QWidget,
)
from pytestqt.qtbot import QtBot

from deltaworks.options import OptionInfo, Options, describe, option
from deltaworks_gui.theme import Scheme, current_theme
from deltaworks_gui.widgets.choice_field import ChoiceField
from deltaworks_gui.widgets.number_field import IntField, RealField
from deltaworks_gui.widgets.option_form import OptionForm
from deltaworks_gui.widgets.option_values import (
    bounds_text,
    list_text,
    number_text,
    parse_list,
    value_fault,
)


class EveryKind(Options):
    """One option of each kind."""

    rank: int = option(
        8, ge=1, le=64, title="Rank", help="Triples kept. More is larger.", unit="rank",
        sweepable=True, sweep=(4, 8),
    )  # fmt: skip
    density: float = option(
        0.1, gt=0.0, le=1.0, title="Density", help="Share kept.", unit="fraction", step=0.01,
        log=True, sweepable=True,
    )  # fmt: skip
    scale: float = option(1.0, title="Scale", help="Multiplies.")
    order: Literal["rows", "columns"] = option(
        "rows", title="Order", help="Which first.", labels={"rows": "Rows first"}, sweepable=True
    )
    rescale: bool = option(True, title="Rescale", help="Keeps the sum.", sweepable=True)
    note: str = option("", title="Note", help="For people.", advanced=True)
    folder: str = option("", title="Folder", help="Where to.", advanced=True, is_path=True)


INFOS = describe(EveryKind)
BY_NAME = {info.name: info for info in INFOS}


class Heard:
    """What a form said."""

    def __init__(self, form: OptionForm) -> None:
        self.edits: list[tuple[str, Any]] = []
        self.resets: list[str] = []
        self.sweeps: list[tuple[str, Any]] = []
        form.edited.connect(lambda name, value: self.edits.append((name, value)))
        form.reset.connect(self.resets.append)
        form.sweep_toggled.connect(lambda name, on: self.sweeps.append((name, on)))
        form.sweep_edited.connect(lambda name, text: self.sweeps.append((name, text)))


@pytest.fixture
def form(qapp: QApplication, qtbot: QtBot) -> OptionForm:
    current_theme().apply(qapp, Scheme.LIGHT)
    made = OptionForm(can_sweep=True)
    qtbot.addWidget(made)
    made.resize(520, 700)
    made.set_options(INFOS)
    made.show_values({})
    made.show()
    qtbot.waitExposed(made)
    return made


# --- values without widgets -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("rank", "2, 4, 8", (2, 4, 8)),
        ("rank", "2 4;8", (2, 4, 8)),
        ("rank", "1:4:4", (1, 2, 3, 4)),
        ("rank", "1 : 7 : 3, 64", (1, 4, 7, 64)),
        ("rank", "4, 4, 4", (4,)),
        ("density", "0.01:1:3", (0.01, 0.1, 1.0)),
        ("density", ".5", (0.5,)),
        ("order", "rows, columns", ("rows", "columns")),
        ("rescale", "on, off", (True, False)),
    ],
)
def test_a_list_is_read_as_written(name: str, text: str, values: tuple[Any, ...]) -> None:
    read = parse_list(BY_NAME[name], text)

    assert (read.values, read.fault) == (values, "")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("rank", "", "Write values"),
        ("rank", "2, x", "x is not a number"),
        ("rank", "2.5", "2.5 is not a whole number"),
        ("rank", "2, 65", "65 is too large: at least 1, at most 64"),
        ("rank", "1:4", "start:stop:count"),
        ("rank", "1:4:0", "0 values"),
        ("rank", "nan", "nan is not a number"),
        ("density", "0, 0.5", "0 is too small: above 0, at most 1"),
        ("order", "rows, diagonal", "diagonal is none of rows, columns"),
        ("rescale", "", "Tick at least one value"),
    ],
)
def test_a_wrong_list_says_what_is_wrong_with_it(name: str, text: str, says: str) -> None:
    read = parse_list(BY_NAME[name], text)

    assert says in read.fault
    assert read.values == ()


def test_what_is_written_is_read_again() -> None:
    for name, values in (("rank", (1, 64)), ("density", (0.0125, 1.0)), ("rescale", (True, False))):
        info = BY_NAME[name]

        assert parse_list(info, list_text(info, values)).values == values


def test_numbers_are_short() -> None:
    assert [number_text(one) for one in (0.25, 2.0, 65536, 1e-05, 0.0, -1.5)] == [
        "0.25", "2", "65536", "0.00001", "0", "-1.5",
    ]  # fmt: skip


def test_bounds_are_told_in_words() -> None:
    assert bounds_text(BY_NAME["rank"]) == "at least 1, at most 64"
    assert bounds_text(BY_NAME["density"]) == "above 0, at most 1"
    assert bounds_text(BY_NAME["scale"]) == ""
    assert value_fault(BY_NAME["density"], 0.0) == "0 is too small: above 0, at most 1"
    assert value_fault(BY_NAME["density"], 1.0) == ""


# --- the form -------------------------------------------------------------------------------


def test_each_kind_has_its_field(form: OptionForm) -> None:
    entries = {name: row.field.entry for name, row in form.rows.items()}

    assert isinstance(entries["rank"], IntField)
    assert isinstance(entries["density"], RealField)
    assert isinstance(entries["order"], ChoiceField)
    assert isinstance(entries["rescale"], QCheckBox)
    assert isinstance(entries["note"], QLineEdit)
    assert form.findChild(QSlider, "slider_density") is not None
    assert form.findChild(QSlider, "slider_scale") is None
    assert form.findChild(QAbstractButton, "btn_browse_folder") is not None


def test_every_label_has_a_buddy_and_every_field_a_name(form: OptionForm) -> None:
    for info in INFOS:
        row = form.rows[info.name]
        labels = [one for one in row.findChildren(QLabel) if one.text() == info.title]

        assert [label.buddy() for label in labels] == [row.entry]
        assert row.field.entry.accessibleName() == info.title
        assert info.help in row.field.toolTip()
    nameless = [
        one.objectName() or type(one).__name__
        for one in form.findChildren(QWidget)
        if one.focusPolicy() != Qt.FocusPolicy.NoFocus
        and isinstance(one, (QAbstractButton, QLineEdit, IntField, RealField, ChoiceField))
        and not one.accessibleName()
        and one.objectName() != "qt_spinbox_lineedit"
    ]
    assert nameless == []


def test_advanced_options_fold_away(form: OptionForm) -> None:
    fold = form.findChild(QAbstractButton, "ParamForm_advanced")
    assert fold is not None

    before = form.rows["note"].isVisible()
    fold.click()

    assert (before, form.rows["note"].isVisible()) == (False, True)


def test_a_fault_of_an_advanced_option_unfolds_it(form: OptionForm) -> None:
    form.show_values({}, faults={"note": "says nothing"})

    assert form.rows["note"].isVisible()
    assert form.rows["note"].fault == "says nothing"


def test_typing_and_arrows_give_values(form: OptionForm) -> None:
    heard = Heard(form)
    rank = form.rows["rank"].field.entry
    assert isinstance(rank, IntField)

    rank.selectAll()
    QTest.keyClicks(rank, "63")
    QTest.keyClick(rank, Qt.Key.Key_Up)
    QTest.keyClick(rank, Qt.Key.Key_Up)
    QTest.keyClick(form.rows["rescale"].field.entry, Qt.Key.Key_Space)

    assert heard.edits == [("rank", 6), ("rank", 63), ("rank", 64), ("rescale", False)]


def test_a_number_out_of_bounds_can_be_typed_and_is_told(form: OptionForm) -> None:
    heard = Heard(form)
    rank = form.rows["rank"].field.entry
    assert isinstance(rank, IntField)
    rank.selectAll()

    QTest.keyClicks(rank, "100")
    form.show_values({"rank": 100}, faults={"rank": value_fault(BY_NAME["rank"], 100)})

    assert heard.edits[-1] == ("rank", 100)
    assert form.rows["rank"].fault == "100 is too large: at least 1, at most 64"
    assert rank.property("invalid") is True
    assert "too large" in rank.accessibleDescription()


def test_the_slider_goes_by_equal_factors(form: OptionForm) -> None:
    heard = Heard(form)
    slider = form.findChild(QSlider, "slider_density")
    assert slider is not None

    half = slider.value()
    slider.setValue(0)
    slider.setValue(750)

    assert half == 500
    assert heard.edits == [("density", pytest.approx(0.01)), ("density", pytest.approx(0.316))]


def test_a_changed_value_can_be_taken_back(form: OptionForm) -> None:
    heard = Heard(form)
    form.show_values({"rank": 9})
    arrow = form.findChild(QToolButton, "reset_rank")
    other = form.findChild(QToolButton, "reset_scale")
    assert arrow is not None
    assert other is not None

    arrow.click()

    assert (arrow.isVisible(), other.isVisible()) == (True, False)
    assert arrow.toolTip() == "Back to 8"
    assert heard.resets == ["rank"]


def test_sweep_turns_a_number_into_a_list(form: OptionForm) -> None:
    heard = Heard(form)
    toggle = form.findChild(QAbstractButton, "btn_sweep_rank")
    assert toggle is not None

    toggle.click()
    form.show_values({}, {"rank": "4, 8"})
    line = form.findChild(QLineEdit, "sweep_rank")
    assert line is not None
    line.clear()
    QTest.keyClicks(line, "2:6:3")

    assert line.isVisible()
    assert not form.rows["rank"].field.isVisible()
    assert heard.sweeps[0] == ("rank", True)
    assert heard.sweeps[-1] == ("rank", "2:6:3")


def test_sweep_of_a_choice_is_a_row_of_ticks(form: OptionForm) -> None:
    heard = Heard(form)
    form.show_values({}, {"order": "rows"})
    rows = form.findChild(QCheckBox, "sweep_order_rows")
    columns = form.findChild(QCheckBox, "sweep_order_columns")
    assert rows is not None
    assert columns is not None

    columns.click()

    assert rows.text() == "Rows first"
    assert (rows.isChecked(), columns.isChecked()) == (True, True)
    assert heard.sweeps == [("order", "rows, columns")]


def test_only_sweepable_options_offer_a_sweep(form: OptionForm) -> None:
    offered = {
        info.name
        for info in INFOS
        if form.findChild(QAbstractButton, f"btn_sweep_{info.name}").isVisible()  # type: ignore[union-attr]  # every row has one
    }

    assert offered == {"rank", "density", "order", "rescale"}


def test_showing_values_says_nothing_back(form: OptionForm) -> None:
    heard = Heard(form)

    form.show_values({"rank": 3, "density": 0.5, "order": "columns", "rescale": False})

    assert (heard.edits, heard.sweeps) == ([], [])
    assert form.rows["rank"].field.value() == 3


def test_the_same_options_keep_their_widgets(form: OptionForm) -> None:
    row = form.rows["rank"]

    form.set_options(INFOS)
    same = form.rows["rank"] is row
    form.set_options(INFOS[:1])

    assert same
    assert list(form.rows) == ["rank"]
    assert form.rows["rank"] is not row


def test_a_chosen_folder_is_a_value(form: OptionForm) -> None:
    heard = Heard(form)
    form.open_advanced(True)

    form.rows["folder"].field.take("/m/store")  # type: ignore[attr-defined]  # what the dialog calls

    assert heard.edits == [("folder", "/m/store")]
    assert form.rows["folder"].field.value() == "/m/store"


def test_a_form_needs_no_action_of_the_window(form: OptionForm) -> None:
    assert [one for one in form.findChildren(QAction) if one.shortcut().toString()] == []


def test_info_is_what_the_declaration_says() -> None:
    info: OptionInfo = BY_NAME["density"]

    assert (info.log, info.excludes_minimum, info.sweepable) == (True, True, True)
