"""What every page and controller is given: one object, built once by ``app``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoStack

from deltaworks.library.home import Home
from deltaworks_gui.lanes.queue import JobQueue
from deltaworks_gui.lanes.tasks import TaskPool
from deltaworks_gui.settings import Settings
from deltaworks_gui.theme import Theme
from deltaworks_gui.undo import make_stack
from deltaworks_gui.widgets.banner import BannerAction, BannerKind, BannerMessage

if TYPE_CHECKING:
    from deltaworks.library.library import Library

STATUS_MS = 5000
BANNER_MS = 6000


class Navigator(QObject):
    """How a page speaks to the window without knowing it.

    Signals:
        page_asked: (page name, payload for its ``activate``).
        banner_asked: a BannerMessage.
        banner_acted: (message id, action id) of a pressed button.
        status_asked: (text, milliseconds) for the status bar.
        inspected: what the Inspector shows, a ``docks.inspector.Subject`` or None.
        inspector_wanted: False where a page has no use for the Inspector.
        dock_asked: objectName of a dock that the user wants to see.
        badge_asked: (page name, count, meaning) of a number on a page's icon.
        selection_changed: which actions can be used may be different now.
        paths_added: list of folders and files that the user dropped or chose.
        library_changed: rows or sizes are others now.
    """

    page_asked = Signal(object, object)
    banner_asked = Signal(object)
    banner_acted = Signal(object, object)
    status_asked = Signal(object, object)
    inspected = Signal(object)
    inspector_wanted = Signal(object)
    dock_asked = Signal(object)
    badge_asked = Signal(object, object, object)
    selection_changed = Signal()
    paths_added = Signal(object)
    library_changed = Signal()

    def show_page(self, name: str, payload: object = None) -> None:
        """Go to a page by name; a payload is handed to its ``activate``."""
        self.page_asked.emit(name, payload)

    def banner(
        self,
        kind: BannerKind,
        text: str,
        actions: Sequence[tuple[str, str]] = (),
        *,
        key: str = "",
        stays: bool = False,
    ) -> None:
        """Show news under the page header; ``actions`` are (id, text), two at most.

        Pressed ones come back as ``banner_acted(key, action id)``. It goes after 6 s
        unless it stays; a second one with its key replaces it.
        """
        made = tuple(BannerAction(action, label) for action, label in actions)
        hide = 0 if stays else BANNER_MS
        self.banner_asked.emit(BannerMessage(text, kind, key, made, hide))

    def status(self, text: str, milliseconds: int = STATUS_MS) -> None:
        """Show a line in the status bar for a while."""
        self.status_asked.emit(text, milliseconds)

    def inspect(self, subject: object) -> None:
        """Show this in the Inspector; None when nothing is selected."""
        self.inspected.emit(subject)

    def want_inspector(self, wanted: bool) -> None:
        """Say whether the page as it is now has a use for the Inspector."""
        self.inspector_wanted.emit(wanted)

    def show_dock(self, name: str) -> None:
        """Open a dock by its objectName, and bring it to the front."""
        self.dock_asked.emit(name)

    def badge(self, page: str, count: int, meaning: str = "") -> None:
        """Put a number on a page's icon; none at 0."""
        self.badge_asked.emit(page, count, meaning)


@dataclass(frozen=True)
class AppContext:
    """Everything that pages share.

    Args:
        home: where our files are.
        library: what this machine holds; its calls are for tasks, not for the window's
            thread, unless they say that they only read what is in memory.
        queue: long work, a lane a device.
        tasks: short work beside the window.
        settings: what is remembered.
        theme: colours, fonts, icons.
        navigator: how to speak to the window.
        is_offline: no network whatever is asked.
        is_safe: nothing is restored.
        undo: what the user did and can take back.
    """

    home: Home
    library: Library
    queue: JobQueue
    tasks: TaskPool
    settings: Settings
    theme: Theme
    navigator: Navigator
    is_offline: bool = True
    is_safe: bool = False
    undo: QUndoStack = field(default_factory=make_stack)
