"""Where the savings come from, delta by delta."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QDialogButtonBox, QTreeView, QWidget

from deltaworks_gui.dialogs.base import Dialog
from deltaworks_gui.formats import format_exact_size, format_size
from deltaworks_gui.settings import Settings
from deltaworks_gui.theme import current_theme
from deltaworks_gui.widgets.delegates import CellDelegate, NumberDelegate
from deltaworks_gui.widgets.tables import prepare_tree


class SavedTraceDialog(Dialog):
    """Each delta and what it saves; they sum to the total.

    Args:
        parts: names and bytes.
    """

    def __init__(
        self, parts: Sequence[tuple[str, int]], parent: QWidget | None, settings: Settings
    ) -> None:
        super().__init__("DlgSavedTrace", self.tr("Saved so far"), parent, settings)
        total = format_exact_size(sum(saved for _, saved in parts))
        self.sentence(
            self.tr(
                "For every listed delta: the size of the full model that it stands for, minus "
                "the size of its own file. Together {0}."
            ).format(total)
        )
        model = QStandardItemModel(0, 2, self)
        model.setHorizontalHeaderLabels([self.tr("Delta"), self.tr("Saves")])
        for name, saved in parts:
            size = QStandardItem(format_size(saved))
            size.setToolTip(format_exact_size(saved))
            model.appendRow([QStandardItem(name), size])
        view = QTreeView()
        view.setModel(model)
        prepare_tree(view, name="TraceView", accessible_name=self.tr("Savings by delta"))
        view.setRootIsDecorated(False)
        view.setEditTriggers(QTreeView.EditTrigger.NoEditTriggers)
        view.setItemDelegate(CellDelegate(view))
        view.setItemDelegateForColumn(1, NumberDelegate(view))
        unit = current_theme().metrics.control
        view.setColumnWidth(0, 11 * unit)
        self.body.addWidget(view, 1)
        close = self.buttons.addButton(QDialogButtonBox.StandardButton.Close)
        close.setDefault(True)
        self.buttons.rejected.connect(self.reject)
        self.resize(17 * unit, 13 * unit)
