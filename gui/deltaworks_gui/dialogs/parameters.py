"""The values that every layer of a merge gets, as they were worked out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from PySide6.QtCore import QSortFilterProxyModel, Qt
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QDialogButtonBox, QTreeView, QWidget

from deltaworks.engine.plan_types import ParameterRow
from deltaworks_gui.dialogs.base import Dialog
from deltaworks_gui.settings import Settings
from deltaworks_gui.theme import current_theme
from deltaworks_gui.widgets.delegates import CellDelegate
from deltaworks_gui.widgets.search_field import SearchField
from deltaworks_gui.widgets.tables import prepare_tree

_WIDTHS = (3.2, 6.0, 4.0, 6.0)
"""Of the columns but the last, which takes the rest, in control heights."""
_SORT = Qt.ItemDataRole.UserRole + 1


@dataclass(frozen=True, slots=True)
class LayerRow:
    """Layers whose tensors of some names are made in one way.

    Args:
        first: layer; ``last`` the last one, both None outside of layers.
        row: what holds for all of them.
    """

    first: int | None
    last: int | None
    row: ParameterRow

    @property
    def layers(self) -> str:
        """``0–31``, ``7`` or nothing."""
        if self.first is None:
            return ""
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


def fold(rows: Sequence[ParameterRow]) -> list[LayerRow]:
    """Put consecutive layers that are the same but for their number into one row."""
    runs: list[tuple[list[int | None], list[ParameterRow]]] = []
    for layer, of_layer in groupby(rows, key=lambda row: row.layer):
        group = [replace(row, layer=None) for row in of_layer]
        before = runs[-1] if runs else None
        if before and layer is not None and before[0][-1] == layer - 1 and before[1] == group:
            before[0].append(layer)
        else:
            runs.append(([layer], group))
    return [
        LayerRow(layers[0], layers[-1], replace(row, layer=layers[0]))
        for layers, group in runs
        for row in group
    ]


def values_text(values: Mapping[str, Any]) -> str:
    """``weight 0.5, density 0.2``."""
    return ", ".join(f"{name} {_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def sources_text(row: ParameterRow) -> str:
    """Every source with its own values: ``maths: weight 0.5; code: weight 0.3``."""
    parts = []
    for place, source in enumerate(row.sources):
        own = values_text(row.each[place]) if place < len(row.each) else ""
        parts.append(f"{source}: {own}" if own else source)
    return "; ".join(parts)


class ParametersDialog(Dialog):
    """A table: layers, tensors, method, its values, sources with theirs.

    Args:
        rows: of the plan.
        titles: methods' names by id.
    """

    def __init__(
        self,
        rows: Sequence[ParameterRow],
        titles: Mapping[str, str],
        parent: QWidget | None = None,
        settings: Settings | None = None,
    ) -> None:
        super().__init__("DlgParameters", self.tr("Values of all layers"), parent, settings)
        self.sentence(
            self.tr("What every tensor of the result is made of, before anything is written."),
            role="secondary",
        )
        self._search = SearchField(self.tr("Search tensors"), object_name="ParameterSearch")
        self.view = QTreeView()
        shown = QSortFilterProxyModel(self)
        shown.setSourceModel(self._model(fold(rows), titles))
        shown.setFilterKeyColumn(-1)
        shown.setSortRole(_SORT)
        shown.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.view.setModel(shown)
        prepare_tree(self.view, name="ParameterView", accessible_name=self.windowTitle())
        self.view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.view.setRootIsDecorated(False)
        self.view.setEditTriggers(QTreeView.EditTrigger.NoEditTriggers)
        self.view.setItemDelegate(CellDelegate(self.view))
        unit = current_theme().metrics.control
        for column, width in enumerate(_WIDTHS):
            self.view.setColumnWidth(column, round(width * unit))
        self.body.addWidget(self._search)
        self.body.addWidget(self.view, 1)
        self._search.textChanged.connect(shown.setFilterFixedString)
        close = self.buttons.addButton(QDialogButtonBox.StandardButton.Close)
        close.setDefault(True)
        self.buttons.rejected.connect(self.reject)
        if settings is None or settings.blob(self._key).isEmpty():
            self.resize(30 * unit, 16 * unit)

    def _model(self, rows: Sequence[LayerRow], titles: Mapping[str, str]) -> QStandardItemModel:
        model = QStandardItemModel(0, len(_WIDTHS) + 1, self)
        model.setHorizontalHeaderLabels(
            [
                self.tr("Layers"),
                self.tr("Tensors"),
                self.tr("Method"),
                self.tr("Values"),
                self.tr("From"),
            ]
        )
        for one in rows:
            method = self.tr("copied") if one.row.method == "copy" else one.row.method
            texts = (
                one.layers or self.tr("outside"),
                ", ".join(one.row.tensors),
                titles.get(one.row.method, method),
                values_text(one.row.common),
                sources_text(one.row),
            )
            items = [QStandardItem(text) for text in texts]
            for item, text in zip(items, texts, strict=True):
                item.setData(text, _SORT)
                item.setToolTip(text.replace(", ", ",\n").replace("; ", ";\n"))
            items[0].setData(-1 if one.first is None else one.first, _SORT)
            model.appendRow(items)
        return model
