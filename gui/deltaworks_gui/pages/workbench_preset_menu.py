"""The preset button in the header, and the line that names a new one."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QMenu, QToolButton, QWidget

from deltaworks_gui.pages.workbench_presets import TITLES, preset_now, presets_of
from deltaworks_gui.pages.workbench_state import WorkbenchState
from deltaworks_gui.pages.workbench_words import tr
from deltaworks_gui.theme import SPACE_M, SPACE_XL, current_theme, set_look
from deltaworks_gui.widgets.buttons import make_button


class PresetButton(QWidget):
    """Shows the preset in force and offers the others.

    Signals:
        chosen: id or name of a preset.
        save_asked: the form shall become one.
        removed: name of one of the user's.
    """

    chosen = Signal(str)
    save_asked = Signal()
    removed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._menu = QMenu(self)
        self.button = QToolButton()
        self.button.setObjectName("btn_preset")
        self.button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setLayoutDirection(Qt.LayoutDirection.RightToLeft)  # the arrow comes last
        theme = current_theme()
        theme.bind_icon(self.button, "chevron-down", "text-2", theme.metrics.icon_small)
        self.button.setMenu(self._menu)
        self._offered: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        self._actions: dict[str, QAction] = {}
        self._removals: list[QAction] = []
        self._line = QAction(self._menu)
        self._line.setSeparator(True)
        self._save = QAction(self.tr("Save as…"), self._menu)
        self._save.setObjectName("preset_save")
        self._save.triggered.connect(self.save_asked)
        self._manage = QMenu(self.tr("Manage"), self._menu)
        self._menu.addActions([self._line, self._save])
        self._menu.addMenu(self._manage)
        self._manage.menuAction().setVisible(False)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.button)

    def show_state(self, state: WorkbenchState) -> None:
        """Show the presets of the method."""
        method = state.method.id
        own = tuple(state.presets.get(method, {}))
        now = preset_now(state.of(method), method, state.presets.get(method, {}))
        text = tr(TITLES[now]) if now in TITLES else now or self.tr("Custom")
        self.button.setText(text)
        self.button.setAccessibleName(self.tr("Preset: {0}").format(text))
        self.button.setToolTip(self.tr("Presets of {0}").format(state.method.title))
        offered = (*presets_of(method), *own)
        if (offered, own) != self._offered:
            self._offered = (offered, own)
            self._rebuild(offered, own)
        for preset, action in self._actions.items():
            action.setChecked(preset == now)

    def _rebuild(self, offered: Sequence[str], own: Sequence[str]) -> None:
        for action in (*self._actions.values(), *self._removals):
            self._menu.removeAction(action)
            self._manage.removeAction(action)
            action.deleteLater()
        self._actions = {preset: self._make(preset) for preset in offered}
        self._menu.insertActions(self._line, list(self._actions.values()))
        self._removals = [self._make_removal(name) for name in own]
        self._manage.addActions(self._removals)
        self._manage.menuAction().setVisible(bool(own))

    def _make(self, preset: str) -> QAction:
        action = QAction(tr(TITLES[preset]) if preset in TITLES else preset, self._menu)
        action.setObjectName(f"preset_{preset}")
        action.setData(preset)
        action.setCheckable(True)
        action.triggered.connect(self._on_chosen)
        return action

    def _make_removal(self, name: str) -> QAction:
        action = QAction(self.tr("Remove {0}").format(name), self._manage)
        action.setData(name)
        action.triggered.connect(self._on_removed)
        return action

    def _on_chosen(self) -> None:
        action = self.sender()
        if isinstance(action, QAction):
            self.chosen.emit(str(action.data()))

    def _on_removed(self) -> None:
        action = self.sender()
        if isinstance(action, QAction):
            self.removed.emit(str(action.data()))


class PresetName(QWidget):
    """A strip that asks for a name.

    Signals:
        named: the name; the strip is gone then.
    """

    named = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("PresetName")
        set_look(self, surface="info")
        self._line = QLineEdit()
        self._line.setObjectName("preset_name")
        label = QLabel(self.tr("Name of the preset"))
        label.setBuddy(self._line)
        self._line.setAccessibleName(label.text())
        self._save = make_button(self.tr("Save"), name="btn_preset_save")
        self._cancel = make_button(self.tr("Cancel"), "quiet", name="btn_preset_cancel")
        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE_XL, SPACE_M // 2, SPACE_XL, SPACE_M // 2)
        row.setSpacing(SPACE_M)
        row.addWidget(label)
        row.addWidget(self._line, 1)
        row.addWidget(self._save)
        row.addWidget(self._cancel)
        self._line.textChanged.connect(self._on_text)
        self._line.returnPressed.connect(self._on_save)
        self._save.clicked.connect(self._on_save)
        self._cancel.clicked.connect(self.hide)
        self.hide()

    def ask(self) -> None:
        """Show the strip, empty."""
        self._line.clear()
        self._on_text("")
        self.show()
        self._line.setFocus()

    def _on_text(self, text: str) -> None:
        self._save.setEnabled(bool(text.strip()))
        self._save.setToolTip("" if text.strip() else self.tr("Write a name first"))

    def _on_save(self) -> None:
        name = self._line.text().strip()
        if name and name not in TITLES:
            self.hide()
            self.named.emit(name)
