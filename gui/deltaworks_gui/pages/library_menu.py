"""The Library's context menu: what can be done to the selected models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QWidget

_STARTS_SECTION = frozenset({"act_compress", "act_restore", "act_rename", "act_trash"})


class LibraryMenu(QMenu):
    """The window's own actions, and roles to set.

    Args:
        parent: the table.
        action: one of the window's actions by its name.
        names: of the actions that the page handles, in order.

    Signals:
        role_chosen: a role; empty for the one that was found.
    """

    role_chosen = Signal(str)

    def __init__(
        self, parent: QWidget, action: Callable[[str], QAction | None], names: Sequence[str]
    ) -> None:
        super().__init__(parent)
        self.setObjectName("LibraryMenu")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for name in names:
            if name in _STARTS_SECTION:
                self.addSeparator()
            found = action(name)
            if found is not None and name != "act_refresh":
                self.addAction(found)
        self._add_roles()

    def _add_roles(self) -> None:
        roles = self.addMenu(self.tr("Set role"))
        choices = {
            "Base": self.tr("Base"),
            "Expert": self.tr("Expert"),
            "Merge": self.tr("Merge"),
            "Repaired": self.tr("Repaired"),
            "": self.tr("As found"),
        }
        for role, text in choices.items():
            if not role:
                roles.addSeparator()
            action = roles.addAction(text)
            action.setData(role)
            action.triggered.connect(self._on_role)

    @Slot()
    def _on_role(self) -> None:
        action = self.sender()
        if isinstance(action, QAction):
            self.role_chosen.emit(str(action.data()))
