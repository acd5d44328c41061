"""News in a strip under the page header: one at a time, the rest wait their turn."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QEasingCurve, QPropertyAnimation, QTimer, Signal
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent
from PySide6.QtWidgets import QGraphicsOpacityEffect, QHBoxLayout, QLabel, QPushButton, QWidget

from deltaworks_gui.theme import FADE_MS, SPACE_M, SPACE_XL, current_theme, set_look
from deltaworks_gui.widgets.buttons import icon_button, link_button

BannerKind = Literal["good", "warn", "bad", "info"]

_ICONS: dict[BannerKind, str] = {"good": "check", "warn": "warning", "bad": "cross", "info": "info"}
MAX_ACTIONS = 2


@dataclass(frozen=True)
class BannerAction:
    """Something to do about it: an id for the receiver, a text for the user."""

    id: str
    text: str


@dataclass(frozen=True)
class BannerMessage:
    """One piece of news.

    ``hide_after_ms`` 0 keeps it until closed. A message with the id of one that
    waits or shows replaces it.
    """

    text: str
    kind: BannerKind = "info"
    id: str = ""
    actions: tuple[BannerAction, ...] = ()
    hide_after_ms: int = 0

    def __post_init__(self) -> None:
        assert len(self.actions) <= MAX_ACTIONS


class Banner(QWidget):
    """The strip. It takes room only while it shows something, and never the focus.

    Signals:
        acted: (message id, action id) of a pressed action.
        closed: id of the message that went, however it went.
    """

    acted = Signal(str, str)
    closed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("Banner")
        self._message: BannerMessage | None = None
        self._waiting: deque[BannerMessage] = deque()
        self._icon = QLabel()
        self._text = QLabel()
        self._buttons = [self._action_button(place) for place in range(MAX_ACTIONS)]
        self._close = icon_button("close", self.tr("Close"), name="btn_banner_close", compact=True)
        self._close.clicked.connect(self.dismiss)
        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE_XL, 0, SPACE_M, 0)
        row.setSpacing(SPACE_M)
        row.addWidget(self._icon)
        row.addWidget(self._text, 1)
        for widget in (*self._buttons, self._close):
            row.addWidget(widget)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.dismiss)
        self._fade = QPropertyAnimation(self)
        current_theme().changed.connect(self._dress)
        self.hide()

    @property
    def message(self) -> BannerMessage | None:
        """What shows now."""
        return self._message

    @property
    def waiting(self) -> tuple[BannerMessage, ...]:
        """What comes after it."""
        return tuple(self._waiting)

    def post(self, message: BannerMessage) -> None:
        """Show a message, or let it wait behind the one that shows."""
        if self._message is None or (message.id and message.id == self._message.id):
            self._show(message)
            return
        if message.id:
            self._waiting = deque(m for m in self._waiting if m.id != message.id)
        self._waiting.append(message)

    def dismiss(self) -> None:
        """Close what shows; the next one follows."""
        if self._message is None:
            return
        gone = self._message
        self._timer.stop()
        self._message = None
        if self._waiting:
            self._show(self._waiting.popleft())
        else:
            self.hide()
        self.closed.emit(gone.id)

    def clear(self) -> None:
        """Close everything."""
        self._waiting.clear()
        self.dismiss()

    def _show(self, message: BannerMessage) -> None:
        self._message = message
        self._text.setText(message.text)
        self.setAccessibleName(message.text)
        for place, button in enumerate(self._buttons):
            action = message.actions[place] if place < len(message.actions) else None
            button.setText(action.text if action else "")
            button.setAccessibleName(action.text if action else "")
            button.setVisible(action is not None)
        self._dress()
        if message.hide_after_ms:
            self._timer.start(message.hide_after_ms)
        else:
            self._timer.stop()
        self.show()
        self._appear()
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self, message.text))

    def _dress(self) -> None:
        self.setFixedHeight(current_theme().metrics.banner)
        if self._message is None:
            return
        kind = self._message.kind
        tone = "accent" if kind == "info" else kind
        theme = current_theme()
        ratio = self.devicePixelRatioF()
        self._icon.setPixmap(theme.pixmap(_ICONS[kind], tone, theme.metrics.icon, ratio))
        set_look(self, surface=kind)
        set_look(self._text, role="strong", tone=kind)
        for button in self._buttons:
            set_look(button, tone=kind)

    def _appear(self) -> None:
        if current_theme().reduced_motion or not self.isVisible():
            return
        effect = QGraphicsOpacityEffect(self)
        self.setGraphicsEffect(effect)
        self._fade = QPropertyAnimation(effect, b"opacity", effect)
        self._fade.setDuration(FADE_MS)
        self._fade.setStartValue(0.0)
        self._fade.setEndValue(1.0)
        self._fade.setEasingCurve(QEasingCurve.Type.OutCubic)
        self._fade.finished.connect(self._on_appeared)
        self._fade.start()

    def _on_appeared(self) -> None:
        # An effect makes every later repaint slower and blurs text on some screens.
        self.setGraphicsEffect(None)  # type: ignore[arg-type]  # the stub forgets that None is allowed

    def _action_button(self, place: int) -> QPushButton:
        button = link_button("", name=f"btn_banner_{place + 1}")
        button.setProperty("place", place)
        button.clicked.connect(self._on_action)
        return button

    def _on_action(self) -> None:
        button = self.sender()
        if self._message is None or not isinstance(button, QPushButton):
            return
        message, place = self._message, int(button.property("place"))
        self.acted.emit(message.id, message.actions[place].id)
