"""What the window asks of a page. A page overrides what it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PySide6.QtWidgets import QWidget

from deltaworks_gui.context import AppContext
from deltaworks_gui.theme import set_look
from deltaworks_gui.widgets.header import PageHeader


def _nothing_against() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Handler:
    """How a page does one of the window's actions.

    Args:
        run: does it.
        why_not: why it cannot be done now, one sentence; empty when it can.
    """

    run: Callable[[], object]
    why_not: Callable[[], str] = _nothing_against


class Page(QWidget):
    """One page: a header, which the window shows over everything, and a body.

    Args:
        context: what all pages share.
        name: ``Library``; the objectName becomes ``Page_Library``.
        title: for the header, translated.
    """

    def __init__(
        self, context: AppContext, name: str, title: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.context = context
        self.name = name
        self.setObjectName(f"Page_{name}")
        self.setAccessibleName(title)
        self.header = PageHeader(title)
        self.header.setObjectName(f"Header_{name}")
        set_look(self, surface="page")

    @property
    def wants_inspector(self) -> bool:
        """Whether the Inspector has something to say beside this page as it is now."""
        return True

    def handlers(self) -> Mapping[str, Handler]:
        """How this page does actions, by objectName."""
        return {}

    def action_widget(self) -> QWidget | None:
        """Where the window's single-letter keys work; None where the page has no such table."""
        return None

    def activate(self, payload: object = None) -> None:
        """The page comes to the front; ``payload`` is what ``show_page`` was given."""

    def deactivate(self) -> None:
        """Another page comes to the front."""

    def focus_search(self) -> bool:
        """Put the keyboard in the search field; False when there is none."""
        return False

    def focus_body(self) -> None:
        """Put the keyboard in the main part."""
        self.setFocus()

    def escape(self) -> bool:
        """Esc: clear the search, else the selection; False when there was neither."""
        return False

    def end(self) -> bool:
        """The window is gone: end what the page alone runs; False when it did not end."""
        return True

    def save_state(self) -> None:
        """The window closes: remember columns, splitters, filters."""
