"""Every key, from the actions themselves."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QCoreApplication, QSortFilterProxyModel, Qt
from PySide6.QtGui import QKeySequence, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QDialogButtonBox, QTableView, QWidget

from deltaworks_gui.actions import ActionSet
from deltaworks_gui.dialogs.base import Dialog
from deltaworks_gui.widgets.buttons import make_button
from deltaworks_gui.widgets.delegates import CellDelegate
from deltaworks_gui.widgets.search_field import SearchField
from deltaworks_gui.widgets.tables import prepare_table

Row = tuple[str, str, str]


class ShortcutsDialog(Dialog):
    """A searchable table.

    Args:
        rows: menu or place, action, key.
    """

    starts_at_default = False

    def __init__(self, rows: Iterable[Row], parent: QWidget | None = None) -> None:
        super().__init__("DlgShortcuts", "", parent)
        title = self.tr("Keyboard shortcuts")
        self.set_title(title)
        self.resize(560, 560)
        model = QStandardItemModel(self)
        model.setHorizontalHeaderLabels([self.tr("Where"), self.tr("Does"), self.tr("Key")])
        for row in rows:
            model.appendRow([QStandardItem(text) for text in row])
        self._shown = QSortFilterProxyModel(self)  # a few dozen rows
        self._shown.setSourceModel(model)
        self._shown.setFilterKeyColumn(-1)
        self._shown.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        search = SearchField(self.tr("Search keys and actions"), object_name="ShortcutSearch")
        search.textChanged.connect(self._shown.setFilterFixedString)
        table = QTableView()
        table.setModel(self._shown)
        prepare_table(table, name="ShortcutTable", accessible_name=title)
        table.setEditTriggers(QTableView.EditTrigger.NoEditTriggers)
        table.setItemDelegate(CellDelegate(table))
        for column, width in enumerate((110, 250, 130)):
            table.setColumnWidth(column, width)
        self.body.addWidget(search)
        search.setFocus()
        self.body.addWidget(table, 1)
        close = make_button(self.tr("Close"), "primary", name="btn_close")
        close.setDefault(True)
        close.clicked.connect(self.reject)
        self.buttons.addButton(close, QDialogButtonBox.ButtonRole.RejectRole)


def shortcut_rows(actions: ActionSet) -> list[Row]:
    """Every action that has a key, in the order of the menus, then the tables' own keys."""
    rows = [
        (_tr(actions.menu_of(one.objectName())), one.text(), key_text(one.shortcut()))
        for one in actions.all
        if not one.shortcut().isEmpty()
    ]
    rows += [(_tr("Tables"), does, key) for key, does in _table_keys()]
    return rows + [(_tr("Jobs"), does, key) for key, does in _job_keys()]


def _table_keys() -> tuple[tuple[str, str], ...]:
    return (
        ("Enter", _tr("Default action")),
        ("Shift+F10", _tr("Context menu")),
        ("Esc", _tr("Clear search, clear selection, close banner")),
    )


def _job_keys() -> tuple[tuple[str, str], ...]:
    return (
        ("Space", _tr("Pause or resume")),
        ("Del", _tr("Cancel")),
        ("Alt+Up", _tr("Earlier in the queue")),
        ("Alt+Down", _tr("Later in the queue")),
    )


def _tr(text: str) -> str:
    return QCoreApplication.translate("ShortcutsDialog", text)


def key_text(key: QKeySequence) -> str:
    """The key as the platform writes it."""
    return key.toString(QKeySequence.SequenceFormat.NativeText)
