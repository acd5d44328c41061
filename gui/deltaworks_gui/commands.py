"""What the actions do that no page does: dialogs, panes, theme, clipboard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QSize, Qt, QUrl, Slot
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QApplication, QFileDialog

from deltaworks_gui.clipboard import copy_focused, select_all_focused
from deltaworks_gui.lanes.jobs import Job
from deltaworks_gui.logs import LogBook
from deltaworks_gui.theme import Scheme

if TYPE_CHECKING:
    from deltaworks_gui.main_window import MainWindow

DEFAULT_SIZE = QSize(1280, 800)


class Commands(QObject):
    """The window's own commands.

    Args:
        window: whose.
        book: the log, for diagnostics.
    """

    def __init__(self, window: MainWindow, book: LogBook) -> None:
        super().__init__(window)
        self._window = window
        self._context = window.context
        self._book = book

    def add_folder(self) -> None:
        """Ask for a folder of models."""
        dialog = QFileDialog(self._window, self.tr("Add folder"))
        dialog.setObjectName("DlgAddFolder")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly, True)
        dialog.setDirectory(self._context.settings.text("folders/last", str(Path.home())))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._on_folder)
        dialog.open()

    def open_recipe(self) -> None:
        """Ask for a recipe and fill the Workbench from it."""
        dialog = QFileDialog(self._window, self.tr("Open recipe"))
        dialog.setNameFilters([self.tr("Recipes (*.json *.yaml *.yml)"), self.tr("All files (*)")])
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._on_recipe)
        dialog.open()

    def why_no_recipe(self) -> str:
        """Empty where there is a Workbench."""
        return "" if "Workbench" in self._window.page_names else self.tr("There is no Workbench")

    def undo(self) -> None:
        """Take the last act back."""
        self._context.undo.undo()

    def redo(self) -> None:
        """Do again what was taken back."""
        self._context.undo.redo()

    def why_no_undo(self) -> str:
        """Empty where there is something to take back."""
        return "" if self._context.undo.canUndo() else self.tr("Nothing to undo")

    def why_no_redo(self) -> str:
        """Empty where something was taken back."""
        return "" if self._context.undo.canRedo() else self.tr("Nothing to redo")

    def undo_text(self) -> str:
        """``Undo reject a relation``."""
        return self.tr("Undo {0}").format(self._context.undo.undoText()).strip()

    def redo_text(self) -> str:
        """``Redo reject a relation``."""
        return self.tr("Redo {0}").format(self._context.undo.redoText()).strip()

    def copy(self) -> None:
        """Copy what is selected where the keyboard is."""
        if not copy_focused():
            self._context.navigator.status(self.tr("Nothing is selected to copy"))

    def select_all(self) -> None:
        """Select everything where the keyboard is."""
        select_all_focused()

    def find_on_page(self) -> None:
        """Put the keyboard in the page's search."""
        if not self._window.page.focus_search():
            self._context.navigator.status(self.tr("This page has nothing to search"))

    def focus_next_pane(self) -> None:
        """F6."""
        self._window.space.focus_pane(1)

    def focus_previous_pane(self) -> None:
        """Shift+F6."""
        self._window.space.focus_pane(-1)

    def dock_toggler(self, name: str) -> Callable[[], None]:
        """What shows or hides a dock."""
        return lambda: self._window.space.toggle_dock(name)

    def dock_checker(self, name: str) -> Callable[[], bool]:
        """What tells whether a dock shows."""
        return lambda: self._window.space.is_dock_open(name)

    def theme_setter(self, scheme: Scheme) -> Callable[[], None]:
        """What makes a theme hold."""
        return lambda: self._set_theme(scheme)

    def theme_checker(self, scheme: Scheme) -> Callable[[], bool]:
        """What tells whether a theme was asked for."""
        return lambda: self._context.theme.scheme is scheme

    def toggle_full_screen(self) -> None:
        """F11."""
        self._window.setWindowState(self._window.windowState() ^ Qt.WindowState.WindowFullScreen)

    def reset_layout(self) -> None:
        """Put size, docks and columns back."""
        self._context.settings.remove("window")
        self._window.space.reset()
        self._window.showNormal()
        self._window.resize(DEFAULT_SIZE)

    def show_shortcuts(self) -> None:
        """List every key."""
        from deltaworks_gui.dialogs.shortcuts import ShortcutsDialog, shortcut_rows

        ShortcutsDialog(shortcut_rows(self._window.actions_), self._window).open()

    def show_about(self) -> None:
        """Versions and folders."""
        from deltaworks_gui.dialogs.about import AboutDialog

        AboutDialog(self._context.home, self._window).open()

    def open_logs(self) -> None:
        """Show the log files."""
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._context.home.logs)))

    @Slot(object)
    def show_job_error(self, job: Job) -> None:
        """What went wrong with a job, what to do, and the details folded."""
        from deltaworks_gui.dialogs.error import ErrorDialog

        what, _, fix = job.error.partition(". ")
        dialog = ErrorDialog(job.name, what + ("." if fix else ""), fix, job.details, self._window)
        dialog.log_asked.connect(self.show_log)
        dialog.open()

    @Slot()
    def show_log(self) -> None:
        """Bring the log up."""
        self._window.space.show_dock("LogDock")

    def copy_diagnostics(self) -> None:
        """Versions and the last log lines, without names of the user's."""
        from deltaworks_gui.diagnostics import diagnostics_text

        QGuiApplication.clipboard().setText(diagnostics_text(self._book.model.last(200)))
        self._context.navigator.status(self.tr("Diagnostics copied"))

    @Slot(str)
    def _on_folder(self, folder: str) -> None:
        self._context.settings.set("folders/last", str(Path(folder).parent))
        self._window.take_paths([Path(folder)])

    @Slot(str)
    def _on_recipe(self, path: str) -> None:
        self._window.show_page("Workbench", Path(path))

    def _set_theme(self, scheme: Scheme) -> None:
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        self._context.theme.apply(app, scheme)
        self._context.settings.set("look/theme", scheme.value)
