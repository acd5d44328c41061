"""Every action of the window: one list, from which menus, keys and the key table come."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QObject, Qt
from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QMenu, QMenuBar

from deltaworks.product import DISPLAY_NAME
from deltaworks_gui.page import Handler
from deltaworks_gui.theme import Scheme, current_theme

if TYPE_CHECKING:
    from deltaworks_gui.commands import Commands
    from deltaworks_gui.docks.jobs_dock import JobsDock
    from deltaworks_gui.main_window import MainWindow

Key = str | QKeySequence.StandardKey
_STD = QKeySequence.StandardKey

MENUS = ("File", "Edit", "Model", "Jobs", "View", "Help")


def _tr(text: str) -> str:
    return QCoreApplication.translate("actions", text)


@dataclass(frozen=True, slots=True)
class ActionRecord:
    """One action.

    Args:
        name: objectName, ``act_*``.
        menu: which menu it stands in.
        text: translated; ``tip`` says what it does in one sentence.
        key: shortcut.
        icon: an icon's name.
        run: does it; None leaves it to the page in front, by its ``handlers``.
        why_not: why it cannot be done now; empty when it can.
        is_checked: makes it checkable and tells its state.
        group: only one of a group is checked.
        in_table: the key works in the page's ``action_widget`` only.
        starts_section: a line stands before it.
        says: gives its text as things are now, where that changes.
    """

    name: str
    menu: str
    text: str
    tip: str
    key: Key = ""
    icon: str = ""
    run: Callable[[], object] | None = None
    why_not: Callable[[], str] | None = None
    is_checked: Callable[[], bool] | None = None
    group: str = ""
    in_table: bool = False
    starts_section: bool = False
    says: Callable[[], str] | None = None


def action_records(window: MainWindow, commands: Commands) -> tuple[ActionRecord, ...]:
    """The list. What it names and no page handles yet is left out by ``ActionSet``."""
    return (
        *_file(window, commands),
        *_edit(commands),
        *_model(),
        *_jobs(window.space.jobs),
        *_view(window, commands),
        *_help(commands),
    )


def _file(window: MainWindow, commands: Commands) -> Iterable[ActionRecord]:
    yield ActionRecord(
        "act_add_folder", "File", _tr("Add folder…"), _tr("Watch a folder of models"),
        _STD.Open, "folder", commands.add_folder,
    )  # fmt: skip
    yield ActionRecord(
        "act_import_recipe", "File", _tr("Open recipe…"), _tr("Fill the Workbench from a recipe"),
        "Ctrl+Shift+O", "file", commands.open_recipe, commands.why_no_recipe,
    )  # fmt: skip
    yield ActionRecord(
        "act_export_table", "File", _tr("Export table…"), _tr("Save the table of this page"),
        "Ctrl+E", "export", starts_section=True,
    )  # fmt: skip
    yield ActionRecord(
        "act_export_plot", "File", _tr("Export plot…"), _tr("Save the plot of this page"),
        "Ctrl+Shift+E", "export",
    )  # fmt: skip
    yield ActionRecord(
        "act_quit", "File", _tr("Quit"), _tr("Close the window and end all work"),
        "Ctrl+Q", run=window.close, starts_section=True,
    )  # fmt: skip


def _edit(commands: Commands) -> Iterable[ActionRecord]:
    yield ActionRecord(
        "act_undo", "Edit", _tr("Undo"), _tr("Take the last act back"),
        _STD.Undo, "undo", commands.undo, commands.why_no_undo, says=commands.undo_text,
    )  # fmt: skip
    yield ActionRecord(
        "act_redo", "Edit", _tr("Redo"), _tr("Do again what was taken back"),
        _STD.Redo, "redo", commands.redo, commands.why_no_redo, says=commands.redo_text,
    )  # fmt: skip
    yield ActionRecord(
        "act_copy", "Edit", _tr("Copy"), _tr("Copy the selected rows or text"),
        _STD.Copy, "copy", commands.copy, starts_section=True,
    )  # fmt: skip
    yield ActionRecord(
        "act_select_all", "Edit", _tr("Select all"), _tr("Select every row or all text"),
        _STD.SelectAll, run=commands.select_all,
    )  # fmt: skip
    yield ActionRecord(
        "act_find", "Edit", _tr("Find"), _tr("Search on this page"),
        _STD.Find, "search", commands.find_on_page,
    )  # fmt: skip


def _model() -> Iterable[ActionRecord]:
    yield ActionRecord(
        "act_use_base", "Model", _tr("Use as base"), _tr("Put the model in the Workbench as base"),
        "B", "base", in_table=True,
    )  # fmt: skip
    yield ActionRecord(
        "act_use_expert", "Model", _tr("Add as expert"),
        _tr("Put the model in the Workbench as expert"), "E", "expert", in_table=True,
    )  # fmt: skip
    yield ActionRecord(
        "act_compress", "Model", _tr("Compress…"), _tr("Make small deltas of the selected experts"),
        "Ctrl+1", "delta", starts_section=True,
    )  # fmt: skip
    yield ActionRecord(
        "act_merge", "Model", _tr("Merge…"), _tr("Build one model from the selected experts"),
        "Ctrl+2", "merge",
    )  # fmt: skip
    yield ActionRecord(
        "act_repair", "Model", _tr("Safety repair…"),
        _tr("Bring refusals back into a fine-tune and keep its skill"), "Ctrl+3", "repaired",
    )  # fmt: skip
    yield ActionRecord(
        "act_compare", "Model", _tr("Compare"), _tr("Show how the selected ones differ"),
        "Ctrl+K", "compare", starts_section=True,
    )  # fmt: skip
    yield ActionRecord(
        "act_restore", "Model", _tr("Rebuild full model…"),
        _tr("Make the full model again from base and delta"), "Ctrl+Shift+R",
    )  # fmt: skip
    yield ActionRecord(
        "act_verify", "Model", _tr("Verify files"),
        _tr("Read every byte and check hashes and structure"), "Ctrl+Shift+V", "check",
    )  # fmt: skip
    yield ActionRecord(
        "act_show_folder", "Model", _tr("Show in file manager"),
        _tr("Open the folder that holds the model"), "Ctrl+Shift+F", "folder", starts_section=True,
    )  # fmt: skip
    yield ActionRecord(
        "act_rename", "Model", _tr("Rename"), _tr("Give the model another name in this list"),
        "F2", in_table=True,
    )  # fmt: skip
    yield ActionRecord(
        "act_remove", "Model", _tr("Remove from list"), _tr("Forget the model; its files stay"),
        "Del", in_table=True,
    )  # fmt: skip
    yield ActionRecord(
        "act_trash", "Model", _tr("Move files to trash…"),
        _tr("List every file of the model, then move them to the trash"), "Shift+Del", "trash",
        in_table=True,
    )  # fmt: skip


def _jobs(jobs: JobsDock) -> Iterable[ActionRecord]:
    yield ActionRecord(
        "act_run", "Jobs", _tr("Run"), _tr("Queue what the Workbench shows"), "Ctrl+Return", "play"
    )
    yield ActionRecord(
        "act_job_pause", "Jobs", _tr("Pause / Resume"), _tr("Let a job rest, or go on"),
        "Ctrl+P", "pause", jobs.pause_or_resume, jobs.why_no_pause, starts_section=True,
    )  # fmt: skip
    yield ActionRecord(
        "act_job_cancel", "Jobs", _tr("Cancel job"), _tr("Stop a job and remove its partial files"),
        "Ctrl+.", "close", jobs.cancel, jobs.why_no_cancel,
    )  # fmt: skip
    yield ActionRecord(
        "act_job_retry", "Jobs", _tr("Run again"), _tr("Queue a job again with the same settings"),
        "Ctrl+Shift+Return", "retry", jobs.retry, jobs.why_no_retry,
    )  # fmt: skip
    yield ActionRecord(
        "act_queue_hold", "Jobs", _tr("Hold queue"), _tr("Start no further job until released"),
        "Ctrl+Shift+P", "", jobs.toggle_hold, None, jobs.is_held, starts_section=True,
    )  # fmt: skip
    yield ActionRecord(
        "act_jobs_clear", "Jobs", _tr("Clear finished"), _tr("Take finished jobs off the list"),
        "", "", jobs.clear_finished, jobs.why_no_clear,
    )  # fmt: skip


def _view(window: MainWindow, commands: Commands) -> Iterable[ActionRecord]:
    for number, record in window.page_places():
        yield ActionRecord(
            f"act_page_{number}", "View", record.title(), _tr("Go to {0}").format(record.title()),
            f"Alt+{number}", record.icon, window.page_shower(record.name), None,
            window.page_checker(record.name), "pages",
        )  # fmt: skip
    docks = (
        ("act_dock_inspector", _tr("Inspector"), "F8", "InspectorDock"),
        ("act_dock_jobs", _tr("Jobs"), "F9", "JobsDock"),
        ("act_dock_log", _tr("Log"), "F12", "LogDock"),
    )
    for name, text, key, dock in docks:
        yield ActionRecord(
            name, "View", text, _tr("Show or hide {0}").format(text), key, "",
            commands.dock_toggler(dock), None, commands.dock_checker(dock),
            starts_section=name == "act_dock_inspector",
        )  # fmt: skip
    yield ActionRecord(
        "act_refresh", "View", _tr("Rescan"), _tr("Look for models again"), _STD.Refresh, "retry",
        starts_section=True,
    )  # fmt: skip
    yield ActionRecord(
        "act_focus_next_pane", "View", _tr("Next pane"), _tr("Move the keyboard to the next part"),
        "F6", "", commands.focus_next_pane,
    )  # fmt: skip
    yield ActionRecord(
        "act_focus_previous_pane", "View", _tr("Previous pane"),
        _tr("Move the keyboard to the part before"), "Shift+F6", "", commands.focus_previous_pane,
    )  # fmt: skip
    themes = (
        (Scheme.SYSTEM, _tr("System theme")),
        (Scheme.LIGHT, _tr("Light theme")),
        (Scheme.DARK, _tr("Dark theme")),
    )
    for scheme, text in themes:
        yield ActionRecord(
            f"act_theme_{scheme.value}", "View", text, _tr("Colours of the window"), "", "",
            commands.theme_setter(scheme), None, commands.theme_checker(scheme), "theme",
            starts_section=scheme is Scheme.SYSTEM,
        )  # fmt: skip
    yield ActionRecord(
        "act_fullscreen", "View", _tr("Full screen"), _tr("Use the whole screen"), "F11", "",
        commands.toggle_full_screen, None, window.isFullScreen, starts_section=True,
    )  # fmt: skip
    yield ActionRecord(
        "act_reset_layout", "View", _tr("Reset layout"), _tr("Put every part back in its place"),
        "", "", commands.reset_layout,
    )  # fmt: skip


def _help(commands: Commands) -> Iterable[ActionRecord]:
    yield ActionRecord(
        "act_shortcuts", "Help", _tr("Keyboard shortcuts"), _tr("List every key"),
        "Ctrl+/", "keyboard", commands.show_shortcuts,
    )  # fmt: skip
    yield ActionRecord(
        "act_diagnostics", "Help", _tr("Copy diagnostics"),
        _tr("Copy versions and the last log lines, without names of yours"),
        "", "copy", commands.copy_diagnostics, starts_section=True,
    )  # fmt: skip
    yield ActionRecord(
        "act_open_logs", "Help", _tr("Open log folder"), _tr("Show the log files"),
        "", "folder", commands.open_logs,
    )  # fmt: skip
    yield ActionRecord(
        "act_about", "Help", _tr("About {0}").format(DISPLAY_NAME), _tr("Versions and folders"),
        "", "info", commands.show_about, starts_section=True,
    )  # fmt: skip


class ActionSet(QObject):
    """The QActions, made from the records.

    Args:
        records: the list.
        handled: names of actions that some page handles; the rest of those without a
            ``run`` of their own are left out.
        handler: how the page in front does an action; None when it does not.
    """

    def __init__(
        self,
        records: Iterable[ActionRecord],
        handled: frozenset[str],
        handler: Callable[[str], Handler | None],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._handler = handler
        self._records = {
            one.name: one for one in records if one.run is not None or one.name in handled
        }
        self._groups: dict[str, QActionGroup] = {}
        self._actions = {name: self._make(one) for name, one in self._records.items()}

    def __getitem__(self, name: str) -> QAction:
        """An action by its objectName."""
        return self._actions[name]

    def __contains__(self, name: str) -> bool:
        return name in self._actions

    @property
    def all(self) -> list[QAction]:
        """In the order of the menus."""
        return list(self._actions.values())

    def is_in_table(self, name: str) -> bool:
        """Whether an action's key works in a page's table only."""
        return self._records[name].in_table

    def menu_of(self, name: str) -> str:
        """Which menu an action stands in."""
        return self._records[name].menu

    def fill(self, bar: QMenuBar) -> None:
        """Build the menus; one with nothing in it is left out."""
        titles = {
            "File": _tr("&File"), "Edit": _tr("&Edit"), "Model": _tr("&Model"),
            "Jobs": _tr("&Jobs"), "View": _tr("&View"), "Help": _tr("&Help"),
        }  # fmt: skip
        for name in MENUS:
            records = [one for one in self._records.values() if one.menu == name]
            if records:
                menu = QMenu(titles[name], bar)
                menu.setObjectName(f"menu_{name.lower()}")
                menu.aboutToShow.connect(self.refresh)
                for record in records:
                    if record.starts_section and menu.actions():
                        menu.addSeparator()
                    menu.addAction(self._actions[record.name])
                bar.addMenu(menu)

    def refresh(self) -> None:
        """Enable and check every action as things are now."""
        for name, record in self._records.items():
            action = self._actions[name]
            if record.is_checked is not None:
                action.setChecked(record.is_checked())
            if record.says is not None:
                action.setText(record.says())
            against = self._against(record)
            action.setEnabled(not against)
            action.setStatusTip(record.tip if against in ("", _ELSEWHERE) else against)

    def _against(self, record: ActionRecord) -> str:
        if record.run is None:
            handler = self._handler(record.name)
            return _ELSEWHERE if handler is None else handler.why_not()
        return record.why_not() if record.why_not is not None else ""

    def _make(self, record: ActionRecord) -> QAction:
        action = QAction(record.text, self)
        action.setObjectName(record.name)
        action.setStatusTip(record.tip)
        if record.key:
            action.setShortcut(QKeySequence(record.key))
        if record.in_table:
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        if record.icon:
            current_theme().bind_icon(action, record.icon)
        if record.is_checked is not None:
            action.setCheckable(True)
        if record.group:
            group = self._groups.setdefault(record.group, QActionGroup(self))
            group.addAction(action)
        action.triggered.connect(self._on_triggered)
        return action

    def _on_triggered(self) -> None:
        action = self.sender()
        assert isinstance(action, QAction)
        record = self._records[action.objectName()]
        if record.run is not None:
            record.run()
        elif (handler := self._handler(record.name)) is not None:
            handler.run()
        self.refresh()


_ELSEWHERE = "\0"
"""Stands for: another page does this."""
