"""What comes in from outside: this start's arguments, and those of later starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Slot

from deltaworks_gui.main_window import MainWindow


class Door(QObject):
    """Turns arguments into what the window does."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._first: dict[str, Any] = {}

    def first(self, message: dict[str, Any]) -> None:
        """This start's own arguments, once the window shows."""
        self._first = message
        QTimer.singleShot(0, self._on_first)

    @Slot(object)
    def take(self, message: dict[str, Any]) -> None:
        """A later start's arguments: come to the front and do what they say."""
        window = self._window
        window.setWindowState(window.windowState() & ~Qt.WindowState.WindowMinimized)
        window.show()
        window.raise_()
        window.activateWindow()
        self._do(message)

    @Slot()
    def _on_first(self) -> None:
        self._do(self._first)

    def _do(self, message: dict[str, Any]) -> None:
        page = message.get("page")
        if page:
            names = {record.name.lower(): record.name for _, record in self._window.page_places()}
            if str(page).lower() in names:
                self._window.show_page(names[str(page).lower()])
            else:
                known = ", ".join(names.values())
                text = self.tr("There is no page {0}; there are {1}").format(page, known)
                self._window.context.navigator.banner("warn", text)
        paths = [Path(path) for path in message.get("paths", ())]
        if paths:
            self._window.take_paths(paths)
        if message.get("demo"):
            self._window.context.navigator.show_page("Library", "demo")
