"""The one act without a way back."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QCheckBox, QDialogButtonBox, QWidget

from deltaworks.library.trash import Moved
from deltaworks_gui.dialogs.base import Dialog
from deltaworks_gui.formats import format_size
from deltaworks_gui.settings import Settings
from deltaworks_gui.widgets.buttons import danger_button

_NAMED = 12
"""How many places a dialog names one by one."""


class EmptyTrashDialog(Dialog):
    """Deletes only after a tick.

    Args:
        entries: what lies in this application's trash.

    Signals:
        confirmed: delete them.
    """

    confirmed = Signal()

    def __init__(
        self, entries: Sequence[Moved], parent: QWidget | None, settings: Settings
    ) -> None:
        super().__init__("DlgEmptyTrash", self.tr("Empty trash?"), parent, settings)
        size = format_size(sum(one.size_bytes for one in entries))
        self.sentence(self.tr("{0} are deleted for good. This cannot be undone.").format(size))
        names = [one.source for one in entries[:_NAMED]]
        if len(entries) > _NAMED:
            names.append(self.tr("and {0} more").format(len(entries) - _NAMED))
        self.sentence("\n".join(names), "secondary")
        self._tick = QCheckBox(self.tr("I understand"))
        self._tick.setObjectName("chk_understand")
        self.body.addWidget(self._tick)
        box = QDialogButtonBox.ButtonRole
        self._empty = danger_button(self.tr("Empty"), icon="trash", name="btn_empty")
        self._empty.setEnabled(False)
        self.buttons.addButton(self._empty, box.AcceptRole)
        cancel = self.buttons.addButton(self.tr("Cancel"), box.RejectRole)
        cancel.setDefault(True)
        self._tick.toggled.connect(self._empty.setEnabled)
        self.buttons.accepted.connect(self._on_accepted)
        self.buttons.rejected.connect(self.reject)

    @Slot()
    def _on_accepted(self) -> None:
        self.confirmed.emit()
        self.accept()
