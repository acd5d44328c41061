"""Every path that is about to go, before it goes."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QDialogButtonBox, QTreeView, QWidget

from deltaworks_gui.dialogs.base import Dialog
from deltaworks_gui.formats import format_size
from deltaworks_gui.settings import Settings
from deltaworks_gui.theme import current_theme
from deltaworks_gui.trashing import Going
from deltaworks_gui.widgets.buttons import danger_button
from deltaworks_gui.widgets.delegates import CellDelegate, PaintRole
from deltaworks_gui.widgets.tables import prepare_tree


class ConfirmTrashDialog(Dialog):
    """Lists files, says what they free; the way back is Undo.

    Args:
        going: what goes.

    Signals:
        confirmed: move them.
    """

    confirmed = Signal()

    def __init__(self, going: Sequence[Going], parent: QWidget | None, settings: Settings) -> None:
        title = _title(going)
        super().__init__("DlgConfirmTrash", title, parent, settings)
        self.sentence(
            self.tr(
                "They go to the system's trash where the volume has one, else to a trash of "
                "this application. Edit → Undo brings them back until the trash is emptied."
            )
        )
        for note in dict.fromkeys(one.note for one in going if one.note):
            self.sentence(note, "secondary")
        self.view = self._list(going)
        self.body.addWidget(self.view, 1)
        frees = format_size(sum(one.frees_bytes for one in going))
        self.sentence(self.tr("Frees {0} when the trash is emptied.").format(frees))
        box = QDialogButtonBox.ButtonRole
        move = danger_button(self.tr("Move to trash"), icon="trash", name="btn_move_to_trash")
        self.buttons.addButton(move, box.AcceptRole)
        cancel = self.buttons.addButton(self.tr("Cancel"), box.RejectRole)
        cancel.setDefault(True)
        self.buttons.accepted.connect(self._on_accepted)
        self.buttons.rejected.connect(self.reject)
        unit = current_theme().metrics.control
        self.resize(20 * unit, 14 * unit)

    def _list(self, going: Sequence[Going]) -> QTreeView:
        model = QStandardItemModel(0, 2, self)
        model.setHorizontalHeaderLabels([self.tr("What goes"), self.tr("Size")])
        for one in going:
            head = [QStandardItem(one.name), QStandardItem(format_size(one.size_bytes))]
            head[0].setData(True, PaintRole.STRONG)
            for path in one.paths:
                item = QStandardItem(path)
                item.setData(True, PaintRole.FOLDED)
                item.setToolTip(path)
                head[0].appendRow([item, QStandardItem("")])
            model.appendRow(head)
        view = QTreeView()
        view.setModel(model)
        prepare_tree(view, name="TrashList", accessible_name=self.tr("What goes"))
        view.setSortingEnabled(False)
        view.setEditTriggers(QTreeView.EditTrigger.NoEditTriggers)
        view.setItemDelegate(CellDelegate(view))
        view.expandAll()
        view.setColumnWidth(0, 15 * current_theme().metrics.control)
        return view

    @Slot()
    def _on_accepted(self) -> None:
        self.confirmed.emit()
        self.accept()


def _title(going: Sequence[Going]) -> str:
    from PySide6.QtCore import QCoreApplication

    if len(going) == 1:
        text = QCoreApplication.translate("ConfirmTrash", "Move {0} to trash?")
        return text.format(going[0].name)
    text = QCoreApplication.translate("ConfirmTrash", "Move {0} models to trash?")
    return text.format(len(going))
