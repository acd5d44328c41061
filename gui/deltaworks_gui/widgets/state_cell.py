"""How each state looks: an icon and a colour beside its word.

The one table of it, for delegates and labels alike. The word comes from the
caller, translated; colour only repeats it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from deltaworks_gui.theme import current_theme, set_look
from deltaworks_gui.widgets.busy import Busy


@dataclass(frozen=True)
class StateLook:
    """An icon's name and a colour token."""

    icon: str
    tone: str


UNKNOWN = StateLook("unknown", "text-2")

STATE_LOOKS: Mapping[str, StateLook] = MappingProxyType(
    {
        # models
        "ready": StateLook("check", "good"),
        "scanning": StateLook("spinner", "text-2"),
        "missing": StateLook("missing", "bad"),
        "incomplete": StateLook("incomplete", "warn"),
        "unreadable": StateLook("cross", "bad"),
        "unsafe": StateLook("unsafe", "warn"),
        "changed": StateLook("changed", "warn"),
        "duplicate": StateLook("duplicate", "text-2"),
        "offline": StateLook("offline", "text-2"),
        "in-use": StateLook("lock", "text-2"),
        # base and expert
        "match": StateLook("check", "good"),
        "likely": StateLook("check", "good"),
        "doubtful": StateLook("warning", "warn"),
        "mismatch": StateLook("cross", "bad"),
        "checking": StateLook("spinner", "text-2"),
        # jobs
        "queued": StateLook("pause", "text-2"),
        "preparing": StateLook("spinner", "text-2"),
        "running": StateLook("play", "accent"),
        "paused": StateLook("pause", "warn"),
        "cancelling": StateLook("spinner", "text-2"),
        "cancelled": StateLook("stop", "text-2"),
        "succeeded": StateLook("check", "good"),
        "warnings": StateLook("warning", "warn"),
        "failed": StateLook("cross", "bad"),
        "interrupted": StateLook("offline", "warn"),
        # anything
        "good": StateLook("check", "good"),
        "warn": StateLook("warning", "warn"),
        "bad": StateLook("cross", "bad"),
        "info": StateLook("info", "text-2"),
    }
)

ROLE_ICONS: Mapping[str, str] = MappingProxyType(
    {
        "base": "base",
        "expert": "expert",
        "delta": "delta",
        "merge": "merge",
        "repaired": "repaired",
        "unknown": "unknown",
    }
)


def state_look(state: str) -> StateLook:
    """The look of a state by its id; a question mark for one that is not known."""
    return STATE_LOOKS.get(state, UNKNOWN)


class StateLabel(QWidget):
    """An icon and a word in the colour of a state."""

    def __init__(
        self, state: str = "", text: str = "", *, wrap: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._state = state
        side = current_theme().metrics.icon_small
        self._icon = QLabel()
        self._icon.setFixedWidth(side)
        self._busy = Busy(size=side)
        self._text = QLabel(text)
        self._text.setWordWrap(wrap)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(5)
        where = Qt.AlignmentFlag.AlignTop if wrap else Qt.AlignmentFlag.AlignVCenter
        row.addWidget(self._icon, 0, where)
        row.addWidget(self._busy, 0, where)
        row.addWidget(self._text, 1)
        current_theme().changed.connect(self._paint_icon)
        self.show_state(state, text)

    @property
    def state(self) -> str:
        """The id of the state shown."""
        return self._state

    @property
    def text(self) -> str:
        """The word shown."""
        return self._text.text()

    def show_state(self, state: str, text: str, tooltip: str = "") -> None:
        """Show a state by its id, with its word."""
        self._state = state
        self._text.setText(text)
        self.setToolTip(tooltip)
        self.setAccessibleName(text)
        set_look(self._text, tone=state_look(state).tone)
        self._paint_icon()

    def _paint_icon(self) -> None:
        look = state_look(self._state)
        spins = look.icon == "spinner"
        self._busy.setVisible(spins)
        self._icon.setVisible(not spins and bool(self._state))
        theme = current_theme()
        side = theme.metrics.icon_small
        ratio = self.devicePixelRatioF()
        self._icon.setPixmap(theme.pixmap(look.icon, look.tone, side, ratio))
