"""Other models need the one that is about to go."""

from __future__ import annotations

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QDialogButtonBox, QWidget

from deltaworks_gui.dialogs.base import Dialog
from deltaworks_gui.settings import Settings


class DependentsDialog(Dialog):
    """Says who needs it and offers to rebuild them in full first.

    Args:
        refusal: the sentence, as the library words it.

    Signals:
        rebuild_asked: show the deltas that have to be rebuilt.
    """

    rebuild_asked = Signal()

    def __init__(self, refusal: str, parent: QWidget | None, settings: Settings) -> None:
        super().__init__("DlgDependents", self.tr("Other models need this"), parent, settings)
        self.sentence(refusal)
        box = QDialogButtonBox.ButtonRole
        rebuild = self.buttons.addButton(self.tr("Rebuild first"), box.AcceptRole)
        rebuild.setObjectName("dependents.rebuild")
        cancel = self.buttons.addButton(self.tr("Cancel"), box.RejectRole)
        cancel.setDefault(True)
        rebuild.setAutoDefault(False)
        self.buttons.accepted.connect(self._on_rebuild)
        self.buttons.rejected.connect(self.reject)

    @Slot()
    def _on_rebuild(self) -> None:
        self.rebuild_asked.emit()
        self.accept()
