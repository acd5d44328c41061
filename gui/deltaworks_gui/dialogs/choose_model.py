"""Pick models from the library."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, QSortFilterProxyModel, Qt, Signal
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QDialogButtonBox, QTreeView, QWidget

from deltaworks.library.rows import ModelRow
from deltaworks_gui.dialogs.base import Dialog
from deltaworks_gui.formats import format_size
from deltaworks_gui.pages.workbench_state import is_usable
from deltaworks_gui.settings import Settings
from deltaworks_gui.theme import current_theme
from deltaworks_gui.widgets.buttons import make_button
from deltaworks_gui.widgets.delegates import CellDelegate
from deltaworks_gui.widgets.empty_state import EmptyState
from deltaworks_gui.widgets.search_field import SearchField
from deltaworks_gui.widgets.state_cell import ROLE_ICONS
from deltaworks_gui.widgets.tables import prepare_tree

_ROW = Qt.ItemDataRole.UserRole + 1
_SORT = Qt.ItemDataRole.UserRole + 2


class ChooseModelDialog(Dialog):
    """The usable models of the library with a search over them.

    Args:
        title: what is chosen.
        rows: the library; what cannot be read is left out.
        several: whether more than one may be chosen.
        first: role that comes first.

    Signals:
        chosen: list of ModelRow.
    """

    chosen = Signal(object)

    def __init__(
        self,
        title: str,
        rows: Sequence[ModelRow],
        parent: QWidget | None = None,
        settings: Settings | None = None,
        *,
        several: bool = False,
        first: str = "",
    ) -> None:
        super().__init__("DlgChooseModel", title, parent, settings)
        usable = sorted(
            (row for row in rows if is_usable(row)),
            key=lambda row: (row.role != first, row.name.lower()),
        )
        self._rows = {row.id: row for row in usable}
        self._model = self._make_model(usable)
        self._shown = QSortFilterProxyModel(self)
        self._shown.setSourceModel(self._model)
        self._shown.setFilterKeyColumn(-1)
        self._shown.setSortRole(_SORT)
        self._shown.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._search = SearchField(self.tr("Search name and family"), object_name="ChooseSearch")
        self._view = QTreeView()
        self._view.setModel(self._shown)
        prepare_tree(self._view, name="ChooseView", accessible_name=title)
        self._view.setRootIsDecorated(False)
        self._view.setEditTriggers(QTreeView.EditTrigger.NoEditTriggers)
        self._view.setItemDelegate(CellDelegate(self._view))
        self._view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        if not several:
            self._view.setSelectionMode(QTreeView.SelectionMode.SingleSelection)
        self._ok = make_button(self.tr("Choose"), "primary", name="btn_choose")
        self._build(bool(usable))

    @property
    def view(self) -> QTreeView:
        """The list."""
        return self._view

    def _make_model(self, rows: Sequence[ModelRow]) -> QStandardItemModel:
        model = QStandardItemModel(0, 4, self)
        model.setHorizontalHeaderLabels(
            [self.tr("Name"), self.tr("Role"), self.tr("Family"), self.tr("On disk")]
        )
        for number, row in enumerate(rows):
            texts = (row.name, row.role, row.family, format_size(row.size_bytes))
            items = [QStandardItem(text) for text in texts]
            for item, key in zip(
                items, (number, row.role, row.family, row.size_bytes), strict=True
            ):
                item.setData(key, _SORT)
                item.setToolTip(row.path)
            items[0].setIcon(current_theme().icon(ROLE_ICONS.get(row.role.lower(), "unknown")))
            items[0].setData(row.id, _ROW)
            items[3].setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            model.appendRow(items)
        return model

    def _build(self, any_rows: bool) -> None:
        unit = current_theme().metrics.control
        self.resize(18 * unit, 14 * unit)
        for column, width in enumerate((8, 3, 4)):
            self._view.setColumnWidth(column, width * unit)
        self.body.addWidget(self._search)
        self.body.addWidget(self._view, 1)
        if not any_rows:
            self._search.hide()
            self._view.hide()
            self.body.addWidget(
                EmptyState(
                    "Empty_Choose",
                    self.tr("No models yet"),
                    self.tr("Add a folder in the Library, or drop a model on the slot."),
                ),
                1,
            )
        cancel = make_button(self.tr("Cancel"), name="btn_cancel")
        cancel.clicked.connect(self.reject)
        self._ok.setDefault(True)
        self._ok.clicked.connect(self._on_ok)
        self.buttons.addButton(self._ok, QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.addButton(cancel, QDialogButtonBox.ButtonRole.RejectRole)
        self._search.textChanged.connect(self._shown.setFilterFixedString)
        self._view.selectionModel().selectionChanged.connect(self._on_selection)
        self._view.doubleClicked.connect(self._on_double)
        self._on_selection()
        self._search.setFocus()

    def _selected(self) -> list[ModelRow]:
        rows = self._view.selectionModel().selectedRows(0)
        return [self._rows[index.data(_ROW)] for index in rows]

    def _on_selection(self) -> None:
        any_selected = bool(self._view.selectionModel().selectedRows(0))
        self._ok.setEnabled(any_selected)
        self._ok.setToolTip("" if any_selected else self.tr("Select a model first"))

    def _on_double(self, _index: QModelIndex) -> None:
        self._on_ok()

    def _on_ok(self) -> None:
        chosen = self._selected()
        if chosen:
            self.chosen.emit(chosen)
            self.accept()
