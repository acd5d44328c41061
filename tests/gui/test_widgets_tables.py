"""Tables and the list of pages: what cells show, and in which colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QImage, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QApplication, QStyleOptionViewItem, QTableView, QTreeView
from pytestqt.qtbot import QtBot

from deltaworks_gui.gallery_pages import render
from deltaworks_gui.theme import Scheme, Theme, current_theme
from deltaworks_gui.widgets.delegates import (
    CellDelegate,
    NameDelegate,
    NumberDelegate,
    PaintRole,
    ProgressDelegate,
    StateDelegate,
)
from deltaworks_gui.widgets.nav_list import NavList
from deltaworks_gui.widgets.tables import prepare_table, prepare_tree

PAGES = [(title.lower(), title) for title in ("Library", "Families", "Workbench", "Results")]


@pytest.fixture
def theme(qapp: QApplication) -> Iterator[Theme]:
    held = current_theme()
    held.apply(qapp, Scheme.LIGHT)
    yield held
    held.reduced_motion = False
    held.apply(qapp, Scheme.LIGHT)


def one_cell(qtbot: QtBot, delegate: CellDelegate, item: QStandardItem) -> QTreeView:
    view = QTreeView()
    model = QStandardItemModel(view)
    model.appendRow([item])
    view.setModel(model)
    view.setHeaderHidden(True)
    view.setRootIsDecorated(False)
    prepare_tree(view)
    delegate.setParent(view)
    view.setItemDelegate(delegate)
    view.resize(300, 60)
    qtbot.addWidget(view)
    view.show()
    return view


def colours(image: QImage, left: int, right: int) -> set[str]:
    return {image.pixelColor(x, y).name().upper() for x in range(left, right) for y in range(2, 30)}


def test_a_state_is_painted_in_its_colour(theme: Theme, qtbot: QtBot) -> None:
    item = QStandardItem("Missing")
    item.setData("missing", PaintRole.STATE)

    view = one_cell(qtbot, StateDelegate(), item)

    seen = colours(view.viewport().grab().toImage(), 0, 120)
    assert theme.tokens.bad in seen
    assert theme.tokens.good not in seen


def test_a_selected_row_has_the_selection_as_its_ground(theme: Theme, qtbot: QtBot) -> None:
    view = one_cell(qtbot, CellDelegate(), QStandardItem("Meridian 8B"))

    view.selectAll()

    assert theme.tokens.selection in colours(view.viewport().grab().toImage(), 200, 280)


def test_numbers_stand_at_the_right(theme: Theme, qtbot: QtBot) -> None:
    view = one_cell(qtbot, NumberDelegate(), QStandardItem("16.1 GB"))

    image = view.viewport().grab().toImage()

    assert colours(image, 10, 150) == {theme.tokens.surface}
    assert theme.tokens.text in colours(image, 220, 298)


def test_a_name_brings_its_icon_and_badges(theme: Theme, qtbot: QtBot) -> None:
    item = QStandardItem("Delta")
    item.setData("delta", PaintRole.ICON)
    item.setData(("lossy",), PaintRole.BADGES)

    view = one_cell(qtbot, NameDelegate(), item)

    image = view.viewport().grab().toImage()
    assert len(colours(image, 10, 25)) > 1
    assert theme.tokens.sunken in colours(image, 60, 140)


def test_progress_fills_its_share(theme: Theme, qtbot: QtBot) -> None:
    item = QStandardItem("")
    item.setData(500, PaintRole.PROGRESS)

    view = one_cell(qtbot, ProgressDelegate(), item)

    image = view.viewport().grab().toImage()
    assert theme.tokens.accent in colours(image, 20, 120)
    assert theme.tokens.accent not in colours(image, 180, 280)


@pytest.mark.parametrize("delegate", [NameDelegate, NumberDelegate, StateDelegate])
def test_rows_are_34_px_high(theme: Theme, qtbot: QtBot, delegate: type[CellDelegate]) -> None:
    view = one_cell(qtbot, delegate(), QStandardItem("Meridian 8B"))
    index = view.model().index(0, 0)

    hint = view.itemDelegate().sizeHint(QStyleOptionViewItem(), index)

    assert hint.height() == 34
    assert view.visualRect(index).height() == 34


def test_a_prepared_table_chooses_whole_rows(theme: Theme, qtbot: QtBot) -> None:
    view = QTableView()
    view.setModel(QStandardItemModel(3, 2, view))
    qtbot.addWidget(view)

    prepare_table(view, name="TrialTable", accessible_name="Trials")

    view.selectRow(1)
    assert view.accessibleName() == "Trials"
    assert len(view.selectedIndexes()) == 2
    assert not view.showGrid()
    assert view.rowHeight(0) == 34
    assert view.horizontalHeader().height() == 30


# --- Pages ----------------------------------------------------------------------------------


def test_the_list_of_pages_is_88_px_wide_and_walks_by_arrows(theme: Theme, qtbot: QtBot) -> None:
    nav = NavList(PAGES)
    qtbot.addWidget(nav)
    nav.resize(nav.width(), 600)
    nav.show()

    qtbot.keyClick(nav, Qt.Key.Key_Down)

    assert nav.width() == 88
    assert nav.objectName() == "NavList"
    assert nav.currentRow() == 1
    assert nav.visualItemRect(nav.item(0)).height() == 64


def test_a_badge_is_told_in_words(theme: Theme, qtbot: QtBot) -> None:
    nav = NavList(PAGES)
    qtbot.addWidget(nav)

    nav.set_badge(3, 2, "2 new sweeps")

    assert nav.badge(3) == 2
    assert nav.item(3).data(Qt.ItemDataRole.AccessibleTextRole) == "Results, 2 new sweeps"


def test_the_chosen_page_is_marked_at_the_edge(theme: Theme, qtbot: QtBot) -> None:
    nav = NavList(PAGES)
    qtbot.addWidget(nav)
    nav.resize(nav.width(), 600)
    nav.show()
    nav.setCurrentRow(2)

    image = nav.viewport().grab().toImage()

    middle = nav.visualItemRect(nav.item(2)).center().y()
    assert image.pixelColor(1, middle).name().upper() == theme.tokens.accent
    assert image.pixelColor(1, 20).name().upper() == theme.tokens.surface


def test_rows_give_way_in_a_low_window(theme: Theme, qtbot: QtBot) -> None:
    nav = NavList(PAGES)
    qtbot.addWidget(nav)
    nav.resize(nav.width(), 220)
    nav.show()

    assert 48 <= nav.row_height() < 64


# --- Gallery --------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_gallery_draws_every_page(theme: Theme, tmp_path: Path, scheme: str) -> None:
    render(scheme, 1.0, tmp_path, "test")

    pictures = [QImage(str(file)) for file in sorted(tmp_path.glob("*.png"))]
    assert len(pictures) == 5
    for picture in pictures:
        assert picture.size().expandedTo(QSize(1280, 800)) == picture.size()
        assert len({picture.pixel(x, y) for x in range(0, 1280, 7) for y in range(0, 800, 7)}) > 20
