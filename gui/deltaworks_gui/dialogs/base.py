"""What every dialog has: a title, a body, buttons, Esc as the harmless one, a size it keeps."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QPushButton, QVBoxLayout, QWidget

from deltaworks_gui.settings import Settings
from deltaworks_gui.theme import SPACE_L, SPACE_M, SPACE_XL, set_look


class Dialog(QDialog):
    """A window-modal sheet. Open it with ``open()``; it deletes itself when it closes.

    Args:
        name: objectName, ``Dlg*``.
        title: of the window, and its heading.
        settings: where the size is kept.
    """

    starts_at_default = True

    def __init__(
        self, name: str, title: str, parent: QWidget | None, settings: Settings | None = None
    ) -> None:
        super().__init__(parent)
        self._settings = settings
        self.setObjectName(name)
        self.setModal(True)
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setSizeGripEnabled(True)
        self._heading = QLabel()
        self._heading.setWordWrap(True)
        set_look(self._heading, role="title")
        self.set_title(title)
        self.body = QVBoxLayout()
        self.body.setSpacing(SPACE_M)
        self.buttons = QDialogButtonBox()
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE_XL, SPACE_XL, SPACE_XL, SPACE_L)
        column.setSpacing(SPACE_L)
        column.addWidget(self._heading)
        column.addLayout(self.body, 1)
        column.addWidget(self.buttons)
        self.finished.connect(self._keep_size)
        if settings is not None and not settings.blob(self._key).isEmpty():
            self.restoreGeometry(settings.blob(self._key))

    def set_title(self, title: str) -> None:
        """Another title and heading."""
        self.setWindowTitle(title)
        self.setAccessibleName(title)
        self._heading.setText(title)

    def showEvent(self, event: QShowEvent) -> None:
        """The keyboard starts at the default button, so that Enter does what it shows."""
        super().showEvent(event)
        for button in self.findChildren(QPushButton):
            if button.isDefault() and self.starts_at_default:
                button.setFocus(Qt.FocusReason.OtherFocusReason)

    @property
    def _key(self) -> str:
        return f"dialogs/{self.objectName()}"

    def sentence(self, text: str, role: str = "") -> QLabel:
        """Add a paragraph; its text can be selected."""
        label = QLabel(text)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setWordWrap(True)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        if role:
            set_look(label, role=role)
        self.body.addWidget(label)
        return label

    def _keep_size(self) -> None:
        if self._settings is not None:
            self._settings.set(self._key, self.saveGeometry())
