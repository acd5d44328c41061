"""Where a full model is rebuilt to."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QDialogButtonBox, QFileDialog, QHBoxLayout, QLabel, QLineEdit, QWidget

from deltaworks.library.rows import ModelRow
from deltaworks_gui.context import AppContext
from deltaworks_gui.dialogs.base import Dialog
from deltaworks_gui.formats import format_size
from deltaworks_gui.theme import SPACE_S, current_theme, set_look
from deltaworks_gui.widgets.buttons import secondary_button

LOOK_MS = 150
"""From the last key to the look at the disk."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the disk says of a destination.

    Args:
        path: as asked; ``is_taken`` when something is there.
        is_writable: a folder can be made there.
        free: bytes of its volume.
    """

    path: str
    is_taken: bool
    is_writable: bool
    free: int


def look_at(path: str) -> Place:
    """Ask the disk. Beside the window's thread: a volume may be slow or asleep."""
    place = Path(path)
    parent = next(one for one in (*place.parents, Path(place.anchor)) if one.is_dir())
    writable = os.access(parent, os.W_OK | os.X_OK)
    return Place(path, place.exists(), writable, shutil.disk_usage(parent).free)


class RebuildDialog(Dialog):
    """Destination and the space it needs.

    Args:
        row: the delta.
        folder: proposed destination; must not exist yet.
        context: for tasks and settings.

    Signals:
        accepted_at: the delta's row, and the destination as a string.
    """

    accepted_at = Signal(object, object)

    def __init__(
        self, row: ModelRow, folder: Path, context: AppContext, parent: QWidget | None
    ) -> None:
        super().__init__("DlgRebuild", self.tr("Rebuild full model"), parent, context.settings)
        self._row, self._tasks = row, context.tasks
        exact = (
            self.tr("It will be bit for bit what it was.")
            if row.is_exact
            else self.tr("The delta is lossy: the model will be close to what it was.")
        )
        self.sentence(
            self.tr("{0} and its base give a full model again. {1}").format(row.name, exact)
        )
        self._path = QLineEdit(str(folder))
        self._add_path()
        self._fault = self.sentence("", "hint")
        self._fault.setObjectName("rebuild.fault")
        box = QDialogButtonBox.ButtonRole
        self._ok = self.buttons.addButton(self.tr("Rebuild"), box.AcceptRole)
        self._ok.setObjectName("btn_rebuild")
        self.buttons.addButton(self.tr("Cancel"), box.RejectRole)
        self.buttons.accepted.connect(self._on_accepted)
        self.buttons.rejected.connect(self.reject)
        self._late = QTimer(self, singleShot=True, interval=LOOK_MS)
        self._late.timeout.connect(self._look)
        self._path.textChanged.connect(self._on_text)
        self._on_text()

    def _add_path(self) -> None:
        self._path.setObjectName("rebuild.path")
        self._path.setMinimumWidth(current_theme().metrics.control * 13)  # most paths in full
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

    @property
    def path(self) -> str:
        """The destination as it stands, in full."""
        text = self._path.text().strip()
        return str(Path(text).expanduser()) if text else ""

    @Slot()
    def _on_text(self) -> None:
        """Nothing can be started before the disk has been asked."""
        self._ok.setEnabled(False)
        if not self.path:
            self._tell(self.tr("Choose a folder."), is_fault=True)
        elif not Path(self.path).is_absolute():
            self._tell(self.tr("Give the whole path of the folder."), is_fault=True)
        else:
            self._tell(self.tr("Looking for free space…"), is_fault=False)
            self._late.start()

    @Slot()
    def _look(self) -> None:
        path = self.path
        if path and Path(path).is_absolute():
            self._tasks.start(
                lambda _control: look_at(path), succeeded=self._on_place, failed=self._on_no_place
            )

    @Slot(object)
    def _on_place(self, place: Place) -> None:
        if place.path != self.path:
            return
        needed, free = format_size(self._row.original_bytes), format_size(place.free)
        fault = ""
        if place.is_taken:
            fault = self.tr("There is something at this place already; choose another name.")
        elif not place.is_writable:
            fault = self.tr("This place cannot be written to; choose another folder.")
        elif place.free < (self._row.original_bytes or 0):
            fault = self.tr("Needs {0}, {1} are free there.").format(needed, free)
        room = self.tr("{0} are free there.").format(free)
        if needed:
            room = self.tr("Needs {0}; {1} are free there.").format(needed, free)
        self._tell(fault or room, is_fault=bool(fault))
        self._ok.setEnabled(not fault)

    @Slot(object)
    def _on_no_place(self, error: Exception) -> None:
        self._tell(str(error), is_fault=True)

    def _tell(self, text: str, *, is_fault: bool) -> None:
        self._fault.setText(text)
        set_look(self._fault, tone="bad" if is_fault else "")

    @Slot()
    def _on_browse(self) -> None:
        current = Path(self.path or Path.home() / "model")
        dialog = QFileDialog(self, self.windowTitle(), str(current.parent))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly, True)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._on_folder)
        dialog.open()

    @Slot(str)
    def _on_folder(self, folder: str) -> None:
        self._path.setText(str(Path(folder) / Path(self.path or "model").name))

    @Slot()
    def _on_accepted(self) -> None:
        self.accepted_at.emit(self._row, self.path)
        self.accept()
