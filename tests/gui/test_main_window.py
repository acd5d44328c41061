"""The window as a whole: pages, names, keys, closing, what it remembers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QByteArray, QMimeData, QPoint, QPointF, QRect, Qt, QTimer, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QPushButton,
    QSlider,
    QTabBar,
    QTextEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from pytestqt.qtbot import QtBot

from deltaworks_gui.context import AppContext
from deltaworks_gui.dialogs.about import AboutDialog
from deltaworks_gui.dialogs.error import ErrorDialog
from deltaworks_gui.dialogs.quit_busy import QuitBusyDialog
from deltaworks_gui.dialogs.shortcuts import ShortcutsDialog, shortcut_rows
from deltaworks_gui.lanes.jobs import JobState
from deltaworks_gui.logs import LogBook
from deltaworks_gui.main_window import MainWindow
from deltaworks_gui.page import Handler, Page
from deltaworks_gui.pages_table import PageRecord
from deltaworks_gui.widgets.empty_state import EmptyState

INTERACTIVE = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QSlider,
    QTabBar,
    QTextEdit,
)


class NotePage(Page):
    """A page that writes down what it is asked."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context, "Library", "Library")
        self.heard: list[object] = []
        self.reason = ""
        self.has_search = True
        QVBoxLayout(self).addWidget(EmptyState("Empty_Library", "Welcome", "Hello."))

    def handlers(self) -> dict[str, Handler]:
        return {"act_compress": Handler(lambda: self.heard.append("compress"), lambda: self.reason)}

    def activate(self, payload: object = None) -> None:
        self.heard.append(("activate", payload))

    def focus_search(self) -> bool:
        self.heard.append("search")
        return True

    def escape(self) -> bool:
        found, self.has_search = self.has_search, False
        return found


RECORDS = (
    PageRecord("Library", "library", 1, NotePage, frozenset({"act_compress"})),
    PageRecord(
        "Workbench", "workbench", 3, lambda context: Page(context, "Workbench", "Workbench")
    ),
)


@pytest.fixture
def two_pages(context: AppContext, home: Path, qtbot: QtBot) -> Iterator[MainWindow]:
    book = LogBook(home / "logs")
    made = MainWindow(context, book, RECORDS)
    made.show()
    qtbot.waitExposed(made)
    yield made
    made.close()
    book.close()


def test_it_shows_with_name_size_and_title(window: MainWindow) -> None:
    assert window.objectName() == "MainWindow"
    assert (window.minimumWidth(), window.minimumHeight()) == (960, 600)
    assert (window.width(), window.height()) == (1280, 800)
    assert window.windowTitle() == "Library — Deltaworks"
    for name in ("NavList", "Pages", "InspectorDock", "JobsDock", "LogDock", "LaneChip_cpu"):
        assert window.findChild(QWidget, name) is not None, name


def test_the_log_is_hidden_at_first(window: MainWindow) -> None:
    assert window.space.log.isHidden()


def test_navigation_and_keys_change_the_page(two_pages: MainWindow, qtbot: QtBot) -> None:
    two_pages.activateWindow()

    two_pages.space.nav.setCurrentRow(1)
    assert two_pages.page.name == "Workbench"
    assert two_pages.windowTitle() == "Workbench — Deltaworks"

    two_pages.actions_["act_page_1"].trigger()
    assert two_pages.page.name == "Library"
    assert two_pages.space.nav.currentRow() == 0
    assert two_pages.space.headers.currentWidget() is two_pages.page.header


def test_a_payload_reaches_the_page(two_pages: MainWindow, context: AppContext) -> None:
    context.navigator.show_page("Workbench")
    context.navigator.show_page("Library", "payload")

    page = two_pages.page
    assert isinstance(page, NotePage)
    assert page.heard[-1] == ("activate", "payload")


def test_the_page_in_front_does_its_actions_and_says_why_not(
    two_pages: MainWindow, context: AppContext, qtbot: QtBot
) -> None:
    action, page = two_pages.actions_["act_compress"], two_pages.page
    assert isinstance(page, NotePage)
    action.trigger()
    assert page.heard[-1] == "compress"

    page.reason = "Choose a base first"
    context.navigator.selection_changed.emit()
    qtbot.waitUntil(lambda: not action.isEnabled(), timeout=1000)
    assert action.statusTip() == "Choose a base first"

    context.navigator.show_page("Workbench")
    qtbot.waitUntil(lambda: action.statusTip() != "Choose a base first", timeout=1000)
    assert not action.isEnabled(), "another page does this"


def test_actions_that_no_page_does_are_not_there(two_pages: MainWindow) -> None:
    assert "act_compress" in two_pages.actions_
    assert "act_merge" not in two_pages.actions_
    assert "act_repair" not in two_pages.actions_


def test_escape_clears_the_search_before_it_closes_the_banner(
    two_pages: MainWindow, context: AppContext, qtbot: QtBot
) -> None:
    context.navigator.banner("info", "News")

    QTest.keyClick(two_pages, Qt.Key.Key_Escape)
    assert two_pages.space.banner.message is not None
    QTest.keyClick(two_pages, Qt.Key.Key_Escape)
    assert two_pages.space.banner.message is None


def test_a_banner_button_comes_back_by_its_ids(
    two_pages: MainWindow, context: AppContext, qtbot: QtBot
) -> None:
    context.navigator.banner("good", "Done", [("show", "Show delta")], key="n1")
    button = two_pages.findChild(QPushButton, "btn_banner_1")
    assert button is not None

    with qtbot.waitSignal(context.navigator.banner_acted) as acted:
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    assert acted.args == ["n1", "show"]
    assert two_pages.space.banner.message is None


# --- names, buddies, keys ---------------------------------------------------------------------


def interactive(root: QWidget) -> Iterator[QWidget]:
    for widget in root.findChildren(QWidget):
        if not isinstance(widget, INTERACTIVE) or widget.focusPolicy() == Qt.FocusPolicy.NoFocus:
            continue
        inside = widget.parentWidget()
        if isinstance(inside, (QAbstractItemView, QComboBox, QAbstractSpinBox, QTabBar)):
            continue
        if widget.objectName().startswith("qt_") or widget.window() is not root.window():
            continue
        if isinstance(widget, QPushButton) and widget.isHidden() and not widget.text():
            continue  # stands ready for a text
        yield widget


def every_root(window: MainWindow, qtbot: QtBot) -> Iterator[QWidget]:
    yield window
    for show in (window.commands.show_shortcuts, window.commands.show_about):
        show()
    window.commands.show_job_error(window.context.queue.jobs()[0])
    for kind in (ShortcutsDialog, AboutDialog, ErrorDialog):
        dialog = window.findChild(kind)
        assert dialog is not None
        yield dialog
        dialog.close()
    dialog = QuitBusyDialog(window.context.queue.jobs(), window)
    yield dialog
    dialog.close()


def failed_job(window: MainWindow, qtbot: QtBot, engine: Any, script: Any) -> None:
    engine.scripts = [script(error="no space. Free some.", details="Trace", ends_at=1)]
    window.context.queue.submit("a job", {"kind": "fake"})
    qtbot.waitUntil(lambda: window.context.queue.jobs()[0].state is JobState.FAILED, timeout=5000)


def test_everything_that_can_be_used_has_a_name(
    window: MainWindow, qtbot: QtBot, engine: Any, script: Any
) -> None:
    failed_job(window, qtbot, engine, script)

    nameless = [
        f"{type(widget).__name__} {widget.objectName()}"
        for root in every_root(window, qtbot)
        for widget in interactive(root)
        if not (widget.accessibleName() or (isinstance(widget, QAbstractButton) and widget.text()))
    ]

    assert nameless == [], nameless


def test_icon_buttons_say_what_they_do(
    window: MainWindow, qtbot: QtBot, engine: Any, script: Any
) -> None:
    failed_job(window, qtbot, engine, script)

    silent = [
        widget.objectName()
        for root in every_root(window, qtbot)
        for widget in interactive(root)
        if isinstance(widget, QToolButton)
        and widget.toolButtonStyle() == Qt.ToolButtonStyle.ToolButtonIconOnly
        and not widget.accessibleDescription()
    ]

    assert silent == []


def test_every_label_with_a_mnemonic_has_a_buddy(
    window: MainWindow, qtbot: QtBot, engine: Any, script: Any
) -> None:
    failed_job(window, qtbot, engine, script)

    lonely = [
        label.text()
        for root in every_root(window, qtbot)
        for label in root.findChildren(QLabel)
        if "&" in label.text().replace("&&", "") and label.buddy() is None
    ]

    assert lonely == []


def test_no_two_actions_share_a_key(two_pages: MainWindow) -> None:
    keys: dict[tuple[str, object], list[str]] = {}
    for action in two_pages.actions_.all:
        for key in action.shortcuts():
            place = (key.toString(), action.shortcutContext())
            keys.setdefault(place, []).append(action.objectName())

    assert {place: names for place, names in keys.items() if len(names) > 1} == {}


def test_the_key_table_lists_every_key(two_pages: MainWindow) -> None:
    rows = shortcut_rows(two_pages.actions_)

    listed = {row[1] for row in rows}
    assert {one.text() for one in two_pages.actions_.all if not one.shortcut().isEmpty()} <= listed


def test_every_action_says_what_it_does(two_pages: MainWindow) -> None:
    for action in two_pages.actions_.all:
        assert action.objectName().startswith("act_")
        assert action.statusTip(), action.objectName()


def test_menus_hold_every_action(two_pages: MainWindow) -> None:
    in_menus = {
        action.objectName()
        for menu in two_pages.menuBar().findChildren(QMenu)
        if menu.objectName().startswith("menu_")
        for action in menu.actions()
        if not action.isSeparator()
    }

    assert in_menus == {action.objectName() for action in two_pages.actions_.all}


# --- docks, focus, theme ---------------------------------------------------------------------


def test_f6_goes_round_the_panes(two_pages: MainWindow) -> None:
    two_pages.space.nav.setFocus()
    two_pages.space.show_dock("JobsDock")
    seen = []
    for _ in range(4):
        two_pages.actions_["act_focus_next_pane"].trigger()
        focus = QGuiApplication.focusObject()
        assert isinstance(focus, QWidget)
        seen.append(focus)

    assert seen[-1] is two_pages.space.nav
    assert two_pages.page is seen[0] or two_pages.page.isAncestorOf(seen[0])
    assert two_pages.space.inspector.isAncestorOf(seen[1])
    assert two_pages.space.jobs.isAncestorOf(seen[2])


@pytest.mark.parametrize(
    ("action", "dock"),
    [
        ("act_dock_inspector", "InspectorDock"),
        ("act_dock_jobs", "JobsDock"),
        ("act_dock_log", "LogDock"),
    ],
)
def test_docks_open_and_close_by_their_actions(window: MainWindow, action: str, dock: str) -> None:
    widget = window.findChild(QWidget, dock)
    assert widget is not None
    before = widget.isVisible()

    window.actions_[action].trigger()
    assert widget.isVisible() is not before
    window.actions_[action].trigger()
    assert widget.isVisible() is before


def test_the_theme_action_changes_the_window_and_is_remembered(window: MainWindow) -> None:
    window.actions_["act_theme_dark"].trigger()

    assert window.context.theme.is_dark
    assert window.context.settings.text("look/theme") == "dark"
    assert window.actions_["act_theme_dark"].isChecked()


def test_geometry_docks_and_page_come_back(
    context: AppContext, home: Path, qtbot: QtBot, qapp: Any
) -> None:
    book = LogBook(home / "logs")
    first = MainWindow(context, book, RECORDS)
    first.show()
    first.resize(960, 650)  # the offscreen screen is no wider
    first.space.show_dock("LogDock")
    first.show_page("Workbench")
    first._save()
    first.hide()

    second = MainWindow(context, book, RECORDS)
    second.show()
    qtbot.waitExposed(second)
    assert (second.width(), second.height()) == (960, 650)
    assert not second.space.log.isHidden()
    assert second.page.name == "Workbench"

    second.actions_["act_reset_layout"].trigger()
    assert (second.width(), second.height()) == (1280, 800)
    assert second.space.log.isHidden()
    second.close()
    book.close()
    first.deleteLater()


def test_a_window_on_a_lost_screen_is_brought_back(
    context: AppContext, home: Path, qtbot: QtBot
) -> None:
    book = LogBook(home / "logs")
    away = MainWindow(context, book, RECORDS)
    away.setGeometry(QRect(20_000, 20_000, 1000, 700))
    blob: QByteArray = away.saveGeometry()
    context.settings.set("window/geometry", blob)

    back = MainWindow(context, book, RECORDS)
    back.show()

    screens = [screen.availableGeometry() for screen in QGuiApplication.screens()]
    assert any(screen.intersects(back.frameGeometry()) for screen in screens)
    back.close()
    book.close()
    away.deleteLater()


# --- drag and drop -------------------------------------------------------------------------------


def drag(window: MainWindow, *paths: Path) -> QMimeData:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    event = QDragEnterEvent(
        QPoint(300, 300),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    window.dragEnterEvent(event)
    return data


def test_a_drop_says_what_it_does_and_adds_the_folders(
    two_pages: MainWindow, context: AppContext, tmp_path: Path, record: Any
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    added = record(context.navigator.paths_added)

    data = drag(two_pages, *folders)
    assert two_pages._drop.isVisible()
    assert two_pages._drop.text == "Add 2 folders"
    drop = QDropEvent(
        QPointF(300, 300),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    two_pages.dropEvent(drop)

    assert added.got == [folders]
    assert not two_pages._drop.isVisible()


def test_a_drop_of_something_else_is_refused_with_a_reason(
    two_pages: MainWindow, tmp_path: Path
) -> None:
    note = tmp_path / "note.txt"
    note.write_text("hello")

    drag(two_pages, note)

    assert two_pages._drop.text == "note.txt is neither a folder nor a .safetensors file"


# --- jobs and closing -----------------------------------------------------------------------


def test_the_title_and_the_foot_tell_what_runs(
    window: MainWindow, qtbot: QtBot, engine: Any, script: Any
) -> None:
    engine.scripts = [script(seconds=1.0, steps=50)]
    window.context.queue.submit("Compress 2 experts", {"kind": "fake"})

    qtbot.waitUntil(lambda: "% Compress 2 experts — Deltaworks" in window.windowTitle())
    shown = window.findChild(QLabel, "StatusJob")
    assert shown is not None
    assert shown.text() == "Compress 2 experts"
    assert not window.space.jobs.isHidden(), "the first job shows the dock"
    qtbot.waitUntil(lambda: window.windowTitle() == "Library — Deltaworks", timeout=5000)


def test_a_failed_job_is_a_banner_and_its_details_a_dialog(
    window: MainWindow, qtbot: QtBot, engine: Any, script: Any
) -> None:
    failed_job(window, qtbot, engine, script)
    qtbot.waitUntil(lambda: window.space.banner.message is not None)
    message = window.space.banner.message
    assert message is not None
    assert message.text == "a job: no space. Free some."
    assert message.hide_after_ms == 0

    button = window.findChild(QPushButton, "btn_banner_1")
    assert button is not None
    button.click()
    dialog = window.findChild(ErrorDialog)
    assert dialog is not None
    dialog.close()


def busy(window: MainWindow, qtbot: QtBot, engine: Any, script: Any) -> QuitBusyDialog:
    engine.scripts = [script(seconds=60, steps=1000)]
    job = window.context.queue.submit("long", {"kind": "fake"})
    qtbot.waitUntil(
        lambda: window.context.queue.job(job.id).state is JobState.RUNNING,  # type: ignore[union-attr]  # it is there
        timeout=5000,
    )
    assert not window.close()
    dialog = window.findChild(QuitBusyDialog)
    assert dialog is not None
    assert dialog.windowTitle() == "1 job is running"
    return dialog


def press(dialog: QuitBusyDialog, name: str) -> None:
    button = dialog.findChild(QPushButton, name)
    assert button is not None
    button.click()


def test_closing_while_busy_asks_and_staying_changes_nothing(
    window: MainWindow, qtbot: QtBot, engine: Any, script: Any
) -> None:
    dialog = busy(window, qtbot, engine, script)

    press(dialog, "btn_dont_quit")

    assert window.isVisible()
    assert len(window.context.queue.busy) == 1


def test_keeping_jobs_in_the_background_minimises(
    window: MainWindow, qtbot: QtBot, engine: Any, script: Any
) -> None:
    dialog = busy(window, qtbot, engine, script)

    press(dialog, "btn_background")

    assert window.isMinimized()
    assert len(window.context.queue.busy) == 1
    window.showNormal()


def test_quitting_anyway_cancels_waits_and_ends(
    window: MainWindow, qtbot: QtBot, engine: Any, script: Any
) -> None:
    dialog = busy(window, qtbot, engine, script)

    with qtbot.waitSignal(window.gone, timeout=6000):
        press(dialog, "btn_quit_anyway")

    assert [job.state for job in window.context.queue.jobs()] == [JobState.CANCELLED]
    assert not window.isVisible()


def test_closing_an_idle_window_ends_at_once(window: MainWindow, qtbot: QtBot) -> None:
    with qtbot.waitSignal(window.gone, timeout=3000):
        window.close()

    assert not window.isVisible()


def test_the_page_switch_is_quick(two_pages: MainWindow) -> None:
    two_pages.show_page("Workbench")
    took = []
    for name in ("Library", "Workbench") * 3:
        start = time.perf_counter()
        two_pages.show_page(name)
        two_pages.repaint()
        took.append(time.perf_counter() - start)

    assert sorted(took)[len(took) // 2] < 0.1 * 2


def test_nothing_ticks_fast_when_nothing_happens(window: MainWindow, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: window.context.tasks.running == 0, timeout=5000)
    qtbot.wait(300)

    owners: list[Any] = [window, window.context.queue, window.context.navigator]
    fast = [
        timer
        for owner in owners
        for timer in owner.findChildren(QTimer)
        if timer.isActive() and timer.interval() < 100
    ]
    assert fast == []
