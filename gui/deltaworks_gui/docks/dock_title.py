"""The head of a dock: its name or tabs, tools, float and close."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QTabBar, QWidget

from deltaworks_gui.theme import SPACE_L, SPACE_S, SPACE_XS, current_theme, set_look
from deltaworks_gui.widgets.buttons import icon_button


class DockTitle(QWidget):
    """Drag it by whatever is not a button; double-click to float.

    Args:
        dock: whose head it is.
        tabs: stand in place of the name.

    Signals:
        closed: the user pressed the close button.
    """

    closed = Signal()

    def __init__(self, dock: QDockWidget, tabs: QTabBar | None = None) -> None:
        super().__init__(dock)
        self._dock = dock
        self._name = QLabel(dock.windowTitle())
        set_look(self._name, role="strong")
        self._tools = QHBoxLayout()
        self._tools.setSpacing(SPACE_XS)
        close = icon_button(
            "close",
            self.tr("Hide {0}").format(dock.windowTitle()),
            name=f"btn_hide_{dock.objectName()}",
            compact=True,
        )
        close.clicked.connect(dock.close)
        close.clicked.connect(self.closed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0 if tabs else SPACE_L, 0, SPACE_S, 0)
        row.setSpacing(SPACE_S)
        row.addWidget(tabs or self._name)
        row.addStretch(1)
        row.addLayout(self._tools)
        row.addWidget(close)
        self._name.setVisible(tabs is None)
        set_look(self, surface="header")
        current_theme().changed.connect(self._fit)
        self._fit()

    def add_tool(self, widget: QWidget, place: int = -1) -> None:
        """Put a tool before the close button, or at a place among the tools."""
        self._tools.insertWidget(place, widget)

    def show_name(self, shown: bool) -> None:
        """Hide the name where a tab already says it."""
        self._name.setVisible(shown)

    def _fit(self) -> None:
        self.setFixedHeight(current_theme().metrics.row + SPACE_XS // 2)
