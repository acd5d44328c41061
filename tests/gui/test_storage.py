"""The Storage page over the demo: figures, proofs, the trash and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from PySide6.QtWidgets import QCheckBox, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from deltaworks.library.demo import unpack_demo
from deltaworks.progress import JobControl
from deltaworks_gui import trashing
from deltaworks_gui.context import AppContext
from deltaworks_gui.dialogs.confirm_trash import ConfirmTrashDialog
from deltaworks_gui.dialogs.empty_trash import EmptyTrashDialog
from deltaworks_gui.pages.library import LibraryPage
from deltaworks_gui.pages.storage import StoragePage
from deltaworks_gui.pages.storage_controller import saved_of
from deltaworks_resources import demo_folder

if TYPE_CHECKING:
    from deltaworks_gui.main_window import MainWindow

D = TypeVar("D", bound=QWidget)


@pytest.fixture(autouse=True)
def _no_system_trash(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches the user's own trash; ours inside the home takes everything."""

    def none(_path: Path) -> Path:
        raise OSError("no trash in tests")

    monkeypatch.setattr(trashing, "move_to_system_trash", none)


@pytest.fixture
def page(context: AppContext, qtbot: QtBot) -> StoragePage:
    made = unpack_demo(demo_folder(), context.home.store / "demo")
    context.library.add_root(made.root)
    context.library.scan(JobControl())
    context.library.hash_contents(JobControl())
    page = StoragePage(context)
    qtbot.addWidget(page)
    page.resize(1000, 700)
    page.show()
    page.activate()
    qtbot.waitUntil(lambda: not page.controller.state.is_measuring)
    return page


def names(page: StoragePage) -> list[str]:
    return [one.name for one in page.controller.state.reclaim]


def shown(window: QWidget, kind: type[D]) -> D:
    """The dialog of this kind that is open."""
    return next(one for one in window.findChildren(kind) if one.isVisible())


def press(dialog: QWidget, name: str) -> None:
    button = dialog.findChild(QPushButton, name)
    assert button is not None
    button.click()


def test_the_demos_copy_is_safe_to_reclaim_with_its_proof(page: StoragePage) -> None:
    (copy,) = page.controller.state.reclaim

    assert copy.kind == "duplicate"
    assert copy.why == "same content as polder-sums"
    assert page.controller.state.chosen == frozenset()


def test_every_path_is_listed_before_it_goes_and_undo_brings_all_back(
    page: StoragePage, qtbot: QtBot
) -> None:
    folder = page.context.home.store / "demo" / "polder-sums-copy"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    page.controller.choose(0, True)
    button = page.header.findChild(QPushButton, "btn_reclaim")
    assert button is not None
    button.click()
    ask = shown(page.window(), ConfirmTrashDialog)
    head = ask.view.model().index(0, 0)
    model = ask.view.model()
    listed = {Path(model.index(row, 0, head).data()).name for row in range(model.rowCount(head))}

    press(ask, "btn_move_to_trash")
    qtbot.waitUntil(lambda: names(page) == [])
    gone = not folder.exists()
    page.context.undo.undo()
    qtbot.waitUntil(lambda: names(page) == ["polder-sums-copy"])

    assert listed == set(before)
    assert gone
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_emptying_the_trash_needs_a_tick(page: StoragePage, qtbot: QtBot) -> None:
    page.controller.choose(0, True)
    page.controller.take()
    qtbot.waitUntil(lambda: bool(page.controller.state.trash))
    page._on_empty()
    ask = shown(page.window(), EmptyTrashDialog)
    empty = ask.findChild(QPushButton, "btn_empty")
    tick = ask.findChild(QCheckBox, "chk_understand")
    assert empty is not None
    assert tick is not None
    before = empty.isEnabled()

    tick.click()
    empty.click()
    qtbot.waitUntil(lambda: not page.controller.state.trash)

    assert not before
    assert not any((page.context.home.root / "trash").iterdir())


def test_the_bar_says_in_words_what_it_shows(page: StoragePage) -> None:
    (volume, *_) = page.controller.state.volumes

    bar = page._volumes[volume.mount][1]

    assert "Experts" in bar.accessibleName()
    assert "Free" in bar.accessibleName()


def test_savings_sum_over_deltas(page: StoragePage) -> None:
    rows = page.context.library.rows()

    saved = saved_of(rows, 0.0)

    assert saved.total == sum(size for _, size in saved.parts) == 0


def test_moving_from_the_library_asks_first_and_undo_restores(
    window: MainWindow, qtbot: QtBot, tmp_path: Path
) -> None:
    made = unpack_demo(demo_folder(), tmp_path / "zoo")
    window.take_paths([made.root])
    page = window.page
    assert isinstance(page, LibraryPage)
    model = page.controller.model
    qtbot.waitUntil(lambda: any(row.name == "polder-topics" for row in model.rows))
    qtbot.waitUntil(lambda: not page.controller.state.busy, timeout=20_000)
    row = next(row for row in model.rows if row.name == "polder-topics")
    page.view.choose([row.id])

    qtbot.waitUntil(lambda: window.actions_["act_trash"].isEnabled())
    window.actions_["act_trash"].trigger()
    press(shown(window, ConfirmTrashDialog), "btn_move_to_trash")
    qtbot.waitUntil(lambda: model.row_by_id(row.id) is None)
    gone = not Path(row.path).exists()
    qtbot.waitUntil(lambda: window.actions_["act_undo"].isEnabled())
    window.actions_["act_undo"].trigger()
    qtbot.waitUntil(lambda: model.row_by_id(row.id) is not None)

    assert gone
    assert Path(row.path).exists()
