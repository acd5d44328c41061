"""Where a full model is rebuilt to."""

from __future__ import annotations

import shutil
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDialogButtonBox, QFileDialog, QHBoxLayout, QLabel, QLineEdit, QWidget

from deltaworks.library.rows import ModelRow
from deltaworks_gui.dialogs.base import Dialog
from deltaworks_gui.formats import format_size
from deltaworks_gui.settings import Settings
from deltaworks_gui.theme import SPACE_S, set_look
from deltaworks_gui.widgets.buttons import secondary_button


class RebuildDialog(Dialog):
    """Destination and the space it needs.

    Args:
        row: the delta.
        folder: proposed destination; must not exist yet.

    Signals:
        accepted_at: the destination, as a string.
    """

    accepted_at = Signal(object)

    def __init__(
        self, row: ModelRow, folder: Path, parent: QWidget | None, settings: Settings
    ) -> None:
        super().__init__("DlgRebuild", self.tr("Rebuild full model"), parent, settings)
        exact = (
            self.tr("It will be bit for bit what it was.")
            if row.is_exact
            else self.tr("The delta is lossy: the model will be close to what it was.")
        )
        self.sentence(
            self.tr("{0} and its base give a full model again. {1}").format(row.name, exact)
        )
        self._path = QLineEdit(str(folder))
        self._path.setObjectName("rebuild.path")
        self._path.setAccessibleName(self.tr("Destination"))
        label = QLabel(self.tr("&Destination"))
        label.setBuddy(self._path)
        browse = secondary_button(self.tr("Browse…"), name="rebuild.browse")
        browse.clicked.connect(self._on_browse)
        line = QHBoxLayout()
        line.setSpacing(SPACE_S)
        line.addWidget(self._path, 1)
        line.addWidget(browse)
        self.body.addWidget(label)
        self.body.addLayout(line)
        self._fault = self.sentence("", "hint")
        self._needed = row.original_bytes or 0
        box = QDialogButtonBox.ButtonRole
        self._ok = self.buttons.addButton(self.tr("Rebuild"), box.AcceptRole)
        self.buttons.addButton(self.tr("Cancel"), box.RejectRole)
        self.buttons.accepted.connect(self._on_accepted)
        self.buttons.rejected.connect(self.reject)
        self._path.textChanged.connect(self._check)
        self._check()

    def _check(self) -> None:
        path = Path(self._path.text()).expanduser()
        parent = next((one for one in path.parents if one.is_dir()), Path("/"))
        free = shutil.disk_usage(parent).free
        fault = ""
        if not self._path.text().strip():
            fault = self.tr("Choose a folder.")
        elif path.exists():
            fault = self.tr("There is something at this place already; choose another name.")
        elif free < self._needed:
            fault = self.tr("Needs {0}, {1} are free there.").format(
                format_size(self._needed), format_size(free)
            )
        needs = self.tr("Needs {0}; {1} are free there.").format(
            format_size(self._needed), format_size(free)
        )
        self._fault.setText(fault or needs)
        set_look(self._fault, tone="bad" if fault else "")
        self._ok.setEnabled(not fault)

    def _on_browse(self) -> None:
        current = Path(self._path.text()).expanduser()
        chosen = QFileDialog.getExistingDirectory(self, self.windowTitle(), str(current.parent))
        if chosen:
            self._path.setText(str(Path(chosen) / current.name))

    def _on_accepted(self) -> None:
        self.accepted_at.emit(str(Path(self._path.text()).expanduser()))
        self.accept()
