"""Shown once, when something went wrong that nobody caught."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialogButtonBox, QPlainTextEdit, QWidget

from deltaworks.product import DISPLAY_NAME
from deltaworks_gui.dialogs.base import Dialog
from deltaworks_gui.theme import current_theme, set_look
from deltaworks_gui.widgets.buttons import make_button

_Role = QDialogButtonBox.ButtonRole


class CrashDialog(Dialog):
    """The report to send along, and the ways on.

    Args:
        report: versions, what happened, the last log lines; no names, no tokens.

    Signals:
        restart_chosen: end this window in order and start anew.
    """

    restart_chosen = Signal()

    def __init__(self, report: str, parent: QWidget | None = None) -> None:
        super().__init__("DlgCrash", self.tr("Something went wrong"), parent)
        self.sentence(
            self.tr(
                "A fault of {0} itself; your files are not touched by it. The window goes on, and "
                "jobs run in processes of their own. If it happens again, please send this report."
            ).format(DISPLAY_NAME)
        )
        text = QPlainTextEdit(report)
        text.setReadOnly(True)
        text.setObjectName("CrashReport")
        text.setAccessibleName(self.tr("Report"))
        set_look(text, role="mono")
        self.body.addWidget(text, 1)
        self._report = report
        copy = make_button(self.tr("Copy report"), name="btn_copy_report")
        restart = make_button(self.tr("Restart"), name="btn_restart")
        close = make_button(self.tr("Close"), "primary", name="btn_close")
        self.buttons.addButton(copy, _Role.ActionRole)
        self.buttons.addButton(restart, _Role.ActionRole)
        self.buttons.addButton(close, _Role.RejectRole)
        close.setDefault(True)
        copy.clicked.connect(self._on_copy)
        restart.clicked.connect(self._on_restart)
        close.clicked.connect(self.reject)
        unit = current_theme().metrics.control
        self.resize(20 * unit, 14 * unit)

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self._report)

    def _on_restart(self) -> None:
        self.accept()
        self.restart_chosen.emit()
