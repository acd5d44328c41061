"""One sentence what went wrong, one what to do; details folded."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialogButtonBox, QPlainTextEdit, QWidget

from deltaworks_gui.dialogs.base import Dialog
from deltaworks_gui.theme import set_look
from deltaworks_gui.widgets.buttons import make_button

_Role = QDialogButtonBox.ButtonRole


class ErrorDialog(Dialog):
    """For an act the user just did, or a job they ask about.

    Args:
        title: a few words.
        what: what happened; ``fix`` what to do.
        details: traceback.

    Signals:
        log_asked: ``Show log``.
    """

    log_asked = Signal()

    def __init__(
        self, title: str, what: str, fix: str = "", details: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__("DlgError", title, parent)
        self._report = "\n".join(text for text in (title, what, fix, details) if text)
        self.resize(520, self.sizeHint().height())
        self.sentence(what)
        if fix:
            self.sentence(fix, "secondary")
        self._details = QPlainTextEdit(details)
        self._details.setReadOnly(True)
        self._details.setObjectName("ErrorDetails")
        self._details.setAccessibleName(self.tr("Details"))
        set_look(self._details, role="mono")
        self._unfold = make_button(
            self.tr("Details"), "quiet", icon="chevron-right", name="btn_details"
        )
        self._unfold.setCheckable(True)
        self._unfold.setVisible(bool(details))
        self._unfold.toggled.connect(self._details.setVisible)
        self._details.hide()
        self.body.addWidget(self._unfold, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addWidget(self._details, 1)
        self.body.addStretch(1)
        copy = make_button(self.tr("Copy details"), name="btn_copy_details")
        log = make_button(self.tr("Show log"), name="btn_show_log")
        close = make_button(self.tr("Close"), "primary", name="btn_close")
        self.buttons.addButton(copy, _Role.ActionRole)
        self.buttons.addButton(log, _Role.ActionRole)
        self.buttons.addButton(close, _Role.RejectRole)
        close.setDefault(True)
        copy.clicked.connect(self._on_copy)
        log.clicked.connect(self._on_log)
        close.clicked.connect(self.reject)

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self._report)

    def _on_log(self) -> None:
        self.accept()
        self.log_asked.emit()
