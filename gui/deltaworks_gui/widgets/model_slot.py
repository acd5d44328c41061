"""A place for one model: drop it there or choose it."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QMimeData, Qt, Signal
from PySide6.QtGui import QAction, QDragEnterEvent, QDragLeaveEvent, QDropEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QToolButton, QVBoxLayout, QWidget

from deltaworks_gui.models.mime import model_ids
from deltaworks_gui.theme import SPACE_S, SPACE_XS, current_theme, set_look
from deltaworks_gui.widgets.buttons import icon_button, make_button
from deltaworks_gui.widgets.card import Card
from deltaworks_gui.widgets.elided_label import ElidedLabel


def dropped(data: QMimeData) -> tuple[list[int], list[str]]:
    """Ids of library rows and local paths in a drag."""
    paths = [url.toLocalFile() for url in data.urls() if url.isLocalFile()]
    return model_ids(data), paths


class DropCard(Card):
    """A card that takes models from a drag.

    Signals:
        ids_dropped: list of ids of library rows.
        paths_dropped: list of paths.
    """

    ids_dropped = Signal(object)
    paths_dropped = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._surface = "card"
        self.setAcceptDrops(True)

    def set_surface(self, surface: str) -> None:
        """``card``, or ``drop`` while it is empty."""
        if surface != self._surface:
            self._surface = surface
            set_look(self, surface=surface)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Show that a drop is welcome."""
        ids, paths = dropped(event.mimeData())
        if ids or paths:
            event.acceptProposedAction()
            set_look(self, surface="drop", active=True)

    def dragLeaveEvent(self, _event: QDragLeaveEvent) -> None:
        """As before."""
        set_look(self, surface=self._surface, active=False)

    def dropEvent(self, event: QDropEvent) -> None:
        """Take the models."""
        set_look(self, surface=self._surface, active=False)
        ids, paths = dropped(event.mimeData())
        event.acceptProposedAction()
        if ids:
            self.ids_dropped.emit(ids)
        elif paths:
            self.paths_dropped.emit(paths)


class ModelLine(QWidget):
    """Icon, name, and what there is to say under it; a menu at the end.

    Signals:
        asked: id of a menu entry.
    """

    asked = Signal(str)

    def __init__(self, icon: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon_name = icon
        self._icon = QLabel()
        self._name = ElidedLabel()
        self._under = ElidedLabel()
        set_look(self._name, role="strong")
        set_look(self._under, role="secondary")
        self._menu = QMenu(self)
        self._actions: dict[str, QAction] = {}
        self._more = icon_button("more", self.tr("More"), compact=True)
        self._more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._more.setMenu(self._menu)
        texts = QVBoxLayout()
        texts.setSpacing(0)
        texts.addWidget(self._name)
        texts.addWidget(self._under)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_S + 2)
        row.addWidget(self._icon)
        row.addLayout(texts, 1)
        row.addWidget(self._more)
        current_theme().changed.connect(self._draw)
        self._draw()

    @property
    def more(self) -> QToolButton:
        """The button of the menu."""
        return self._more

    @property
    def name(self) -> str:
        """The name shown."""
        return self._name.text()

    def show_model(self, name: str, under: str, path: str, tone: str = "") -> None:
        """Show a model."""
        self._name.setText(name)
        self._name.setToolTip(path)
        self._under.setText(under)
        if self._under.property("tone") != tone:
            set_look(self._under, tone=tone)
        self._more.setAccessibleName(self.tr("More for {0}").format(name))
        self._more.setToolTip(self.tr("More for {0}").format(name))

    def set_menu(self, entries: Sequence[tuple[str, str, bool]]) -> None:
        """Offer these: id, text, whether it can be done. Entries come, and never go."""
        for entry, text, enabled in entries:
            if entry not in self._actions:
                self._actions[entry] = self._make_action(entry)
            self._actions[entry].setText(text)
            self._actions[entry].setEnabled(enabled)

    def _make_action(self, entry: str) -> QAction:
        action = QAction(self._menu)
        action.setObjectName(f"menu_{entry}")
        action.setData(entry)
        action.triggered.connect(self._on_action)
        self._menu.addAction(action)
        return action

    def _on_action(self) -> None:
        action = self.sender()
        if isinstance(action, QAction):
            self.asked.emit(str(action.data()))

    def _draw(self) -> None:
        theme = current_theme()
        side = theme.metrics.icon + SPACE_XS
        self._icon.setPixmap(
            theme.pixmap(self._icon_name, "accent", side, self.devicePixelRatioF())
        )
        self._icon.setFixedWidth(side)


class ModelSlot(DropCard):
    """One model and its caption, or an invitation.

    Args:
        title: caption, with its mnemonic.
        icon: of the role.
        invitation: one line while it is empty.

    Signals:
        choose_asked: the user wants the list.
        clear_asked: the user wants it empty.
    """

    choose_asked = Signal()
    clear_asked = Signal()

    def __init__(
        self, name: str, title: str, icon: str, invitation: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        plain = title.replace("&", "")
        self.setAccessibleName(plain)
        self._label = QLabel(title)
        # A button as buddy would be pressed by the mnemonic; through the slot it is only reached.
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._label.setBuddy(self)
        set_look(self._label, role="caption")
        self._line = ModelLine(icon)
        self._line.set_menu(
            [("choose", self.tr("Choose…"), True), ("clear", self.tr("Clear"), True)]
        )
        self._invitation = QLabel(invitation)
        self._invitation.setWordWrap(True)
        set_look(self._invitation, role="hint")
        self._choose = make_button(self.tr("Choose…"), name=f"{name}_choose")
        self._choose.setAccessibleName(self.tr("Choose {0}").format(plain.lower()))
        self.body.addWidget(self._label)
        self.body.addWidget(self._line)
        self.body.addWidget(self._invitation)
        self.body.addWidget(self._choose, 0, Qt.AlignmentFlag.AlignLeft)
        self._choose.clicked.connect(self.choose_asked)
        self._line.asked.connect(self._on_asked)
        self.show_empty()

    def set_words(self, title: str, invitation: str) -> None:
        """Show another caption and invitation."""
        if title != self._label.text():
            self._label.setText(title)
            self.setAccessibleName(title.replace("&", ""))
            self._invitation.setText(invitation)

    @property
    def model_name(self) -> str:
        """Name of the model shown; empty when there is none."""
        return self._line.name if self._line.isVisibleTo(self) else ""

    def stops(self) -> list[QWidget]:
        """Where Tab stops, in order."""
        return [self._line.more, self._choose]

    def show_empty(self) -> None:
        """Invite."""
        self._show(False)

    def show_model(self, name: str, under: str, path: str, tone: str = "") -> None:
        """Show a model."""
        self._line.show_model(name, under, path, tone)
        self._show(True)

    def _show(self, filled: bool) -> None:
        self._line.setVisible(filled)
        self._invitation.setVisible(not filled)
        self._choose.setVisible(not filled)
        self.setFocusProxy(self._line.more if filled else self._choose)
        self.set_surface("card" if filled else "drop")

    def _on_asked(self, entry: str) -> None:
        if entry == "choose":
            self.choose_asked.emit()
        else:
            self.clear_asked.emit()
