"""Buttons of the few kinds there are. Each takes the texts already translated."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QPushButton, QToolButton, QWidget

from deltaworks_gui.theme import SPACE_XS, current_theme, set_look

ButtonKind = Literal["primary", "secondary", "quiet", "danger", "dashed", "link"]

_ICON_COLOR: dict[ButtonKind, str] = {
    "primary": "on-accent",
    "secondary": "text-2",
    "quiet": "text-2",
    "danger": "bad",
    "dashed": "text-2",
    "link": "accent",
}


def make_button(
    text: str,
    kind: ButtonKind = "secondary",
    *,
    icon: str = "",
    name: str = "",
    large: bool = False,
    parent: QWidget | None = None,
) -> QPushButton:
    """A button with a text; ``name`` becomes its objectName.

    ``primary`` is for the one thing to press on a page, with ``large`` where it
    stands alone; ``quiet`` has no outline until pointed at.
    """
    button = QPushButton(text, parent)
    button.setObjectName(name)
    button.setAccessibleName(text.replace("&", ""))
    if icon:
        side = current_theme().metrics.icon
        button.setIconSize(QSize(side + SPACE_XS, side))
        current_theme().bind_icon(button, icon, _ICON_COLOR[kind], gap=SPACE_XS)
    if kind == "link":
        button.setCursor(Qt.CursorShape.PointingHandCursor)
    set_look(button, kind=kind, large=large)
    return button


def primary_button(
    text: str, *, icon: str = "", name: str = "", large: bool = False
) -> QPushButton:
    """The one thing to press on a page."""
    return make_button(text, "primary", icon=icon, name=name, large=large)


def secondary_button(
    text: str, *, icon: str = "", name: str = "", large: bool = False
) -> QPushButton:
    """An outlined button."""
    return make_button(text, "secondary", icon=icon, name=name, large=large)


def quiet_button(text: str, *, icon: str = "", name: str = "") -> QPushButton:
    """A button with no outline until pointed at."""
    return make_button(text, "quiet", icon=icon, name=name)


def danger_button(text: str, *, icon: str = "", name: str = "") -> QPushButton:
    """A button that takes something away; never the default of a dialog."""
    button = make_button(text, "danger", icon=icon, name=name)
    button.setAutoDefault(False)
    return button


def link_button(text: str, *, name: str = "", tone: str = "") -> QPushButton:
    """Underlined text that acts; ``tone`` is good, warn or bad on such a ground."""
    button = make_button(text, "link", name=name)
    set_look(button, tone=tone)
    return button


def icon_button(
    icon: str,
    text: str,
    *,
    name: str = "",
    description: str = "",
    compact: bool = False,
    color_token: str = "text-2",
) -> QToolButton:
    """A button that shows only an icon; ``text`` is its accessible name and tooltip.

    ``compact`` is for strips and rows, 24 px instead of 32.
    """
    button = QToolButton()
    button.setObjectName(name)
    button.setToolTip(text)
    button.setAccessibleName(text)
    button.setAccessibleDescription(description or text)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    metrics = current_theme().metrics
    side = metrics.icon_small if compact else metrics.icon
    button.setIconSize(QSize(side, side))
    current_theme().bind_icon(button, icon, color_token, side)
    set_look(button, kind="icon", compact=compact)
    return button
