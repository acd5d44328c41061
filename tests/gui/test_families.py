"""The Families page over the demo: relations, and what the user says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from deltaworks.library.demo import unpack_demo
from deltaworks.library.pedigree import Branch, Kin
from deltaworks.library.rows import ModelRow, State
from deltaworks.progress import JobControl
from deltaworks_gui.context import AppContext
from deltaworks_gui.models.families import FamilyModel
from deltaworks_gui.models.roles import ModelRole
from deltaworks_gui.pages.families import FamiliesPage
from deltaworks_gui.pages.families_graph import arrange
from deltaworks_gui.payloads import WorkbenchInputs
from deltaworks_resources import demo_folder

if TYPE_CHECKING:
    from deltaworks_gui.main_window import MainWindow


def row(number: int, name: str, role: str = "Expert") -> ModelRow:
    return ModelRow(
        id=number,
        path=f"/m/{name}",
        name=name,
        kind="folder",
        role=role,
        state=State.READY,
        size_bytes=1000 * number,
        modified_ns=1,
    )


def family(experts: int) -> Branch:
    children = tuple(
        Branch(row(number, f"e{number}"), Kin(number, (1,), "found from weights", 0.9, 0.1))
        for number in range(2, experts + 2)
    )
    return Branch(row(1, "base", "Base"), None, children)


@pytest.fixture
def page(context: AppContext, qtbot: QtBot) -> FamiliesPage:
    """The page over the demo, whose relations are found already."""
    made = unpack_demo(demo_folder(), context.home.store / "demo")
    context.library.add_root(made.root)
    context.library.scan(JobControl())
    context.library.relate(JobControl())
    page = FamiliesPage(context)
    qtbot.addWidget(page)
    page.resize(1000, 600)
    page.show()
    page.activate()
    qtbot.waitUntil(lambda: bool(page.controller.state.branches))
    return page


def select(page: FamiliesPage, name: str) -> int:
    found = next(one.id for one in page.controller.rows if one.name == name)
    page.controller.select([found])
    return found


def kin_of(page: FamiliesPage, model: int) -> Kin | None:
    return next((one for one in page.context.library.kin() if one.model == model), None)


def parents_of(page: FamiliesPage, model: int) -> tuple[int, ...]:
    found = kin_of(page, model)
    return found.parents if found else ()


def test_the_demo_is_one_family_found_from_weights(page: FamiliesPage) -> None:
    (head,) = page.controller.state.branches

    assert head.row.name == "polder-base"
    assert {branch.kin.relation for branch in head.children if branch.kin} == {"found from weights"}
    assert all(branch.kin and branch.kin.confidence > 0.6 for branch in head.children)
    assert page.graph.n_nodes == 1 + len(head.children) >= 6


def test_enter_confirms_del_rejects_and_undo_restores(page: FamiliesPage, qtbot: QtBot) -> None:
    model = select(page, "polder-sums")
    undo = page.context.undo

    QTest.keyClick(page.tree, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: (found := kin_of(page, model)) is not None and found.is_confirmed)
    QTest.keyClick(page.tree, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: kin_of(page, model) is None)
    undo.undo()
    qtbot.waitUntil(lambda: (found := kin_of(page, model)) is not None and found.is_confirmed)
    undo.undo()
    qtbot.waitUntil(lambda: (found := kin_of(page, model)) is not None and not found.is_confirmed)
    undo.redo()

    qtbot.waitUntil(lambda: (found := kin_of(page, model)) is not None and found.is_confirmed)


def test_the_picture_and_the_list_share_their_selection(page: FamiliesPage) -> None:
    model = select(page, "polder-topics")
    rows = page.tree.selectionModel().selectedRows()

    page.graph.chosen.emit([page.controller.state.branches[0].row.id])

    assert [index.data(ModelRole.ID) for index in rows] == [model]
    assert page.controller.selected[0].name == "polder-base"


def test_a_base_can_be_set_and_that_can_be_undone(page: FamiliesPage, qtbot: QtBot) -> None:
    model = select(page, "polder-topics")
    other = next(one for one in page.controller.rows if one.name == "polder-sums")

    page.controller.set_base(other)
    qtbot.waitUntil(lambda: parents_of(page, model) == (other.id,))
    page.context.undo.undo()

    qtbot.waitUntil(lambda: parents_of(page, model) not in ((), (other.id,)))


def test_a_whole_family_goes_to_the_workbench(page: FamiliesPage) -> None:
    asked: list[object] = []
    page.context.navigator.page_asked.connect(lambda _name, payload: asked.append(payload))
    select(page, "polder-sums")
    button = page.header.findChild(QPushButton, "btn_compress_family")
    assert button is not None

    button.click()

    inputs = asked[0]
    assert isinstance(inputs, WorkbenchInputs)
    assert inputs.base is not None
    assert inputs.base.name == "polder-base"
    assert len(inputs.experts) >= 5


def test_buttons_say_why_they_do_nothing(page: FamiliesPage) -> None:
    page.controller.select(())

    button = page.findChild(QPushButton, "btn_confirm")

    assert button is not None
    assert not button.isEnabled()
    assert button.toolTip() == "Select a model first."


def test_an_empty_library_says_what_a_family_needs(context: AppContext, qtbot: QtBot) -> None:
    page = FamiliesPage(context)
    qtbot.addWidget(page)
    page.activate()

    qtbot.waitUntil(lambda: not page.controller.state.is_loading)

    shown = page._stack.currentWidget()
    assert shown is not None
    assert shown.objectName() == "Empty_Families"


def test_undo_is_in_the_menu_with_the_name_of_the_act(window: MainWindow, qtbot: QtBot) -> None:
    from deltaworks_gui.undo import Act

    done: list[str] = []
    window.context.undo.push(Act("greet", lambda: done.append("do"), lambda: done.append("undo")))
    action = window.actions_["act_undo"]
    qtbot.waitUntil(lambda: action.isEnabled())

    action.trigger()

    assert done == ["do", "undo"]
    assert window.actions_["act_redo"].text() == "Redo greet"


@pytest.mark.parametrize("experts", [0, 3, 10_000])
def test_the_model_holds_qts_rules(experts: int, qtmodeltester: object) -> None:
    model = FamilyModel()
    model.show_branches([family(experts)] if experts else [])

    if experts < 10_000:
        qtmodeltester.check(model)  # type: ignore[attr-defined]  # pytest-qt's

    head = model.index(0, 0)
    assert model.rowCount(head) == experts


def test_models_are_drawn_a_row_each_under_their_parent() -> None:
    places = arrange([family(2), family(1)])

    assert [(place.depth, place.row, place.parent) for place in places] == [
        (0, 0.0, -1),
        (1, 1.0, 0),
        (1, 2.0, 0),
        (0, 3.6, -1),
        (1, 4.6, 3),
    ]
