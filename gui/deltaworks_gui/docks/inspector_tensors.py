"""The Inspector's tensors: read when they are asked for, from headers alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QLabel, QTableView, QVBoxLayout, QWidget

from deltaworks.errors import AppError
from deltaworks.progress import JobControl
from deltaworks_gui.formats import format_size
from deltaworks_gui.lanes.tasks import Task, TaskPool
from deltaworks_gui.models.tensors import COLUMNS, NUMBERS, TensorModel, TensorRow
from deltaworks_gui.theme import SPACE_M, SPACE_S, current_theme, set_look
from deltaworks_gui.widgets.delegates import CellDelegate, NumberDelegate
from deltaworks_gui.widgets.search_field import SearchField
from deltaworks_gui.widgets.tables import prepare_table

if TYPE_CHECKING:
    from deltaworks.checkpoints.roles import TensorRole

_WIDTHS = {"group": 5.4, "size": 2.2, "error": 2.4, "ratio": 2.0, "shape": 3.6, "name": 9.0}
"""In heights of a control."""
_GROUPS = {
    "embedding": "embedding",
    "head": "head",
    "norm": "norm",
    "bias": "bias",
    "router": "router",
    "buffer": "buffer",
    "other": "",
    "linear": "",
}


class TensorsView(QWidget):
    """A filter, the table, and a line of sums under it.

    Args:
        tasks: reads headers beside the window's thread.
    """

    def __init__(self, tasks: TaskPool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._task: Task | None = None
        self._path = ""
        self.model = TensorModel(self)
        self.search = SearchField(self.tr("Filter tensors"), object_name="TensorFilter")
        self.table = QTableView()
        self.table.setModel(self.model)
        prepare_table(self.table, name="TensorTable", accessible_name=self.tr("Tensors"))
        # In the network's order until a header is clicked.
        self.table.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.table.setSortingEnabled(True)
        unit = current_theme().metrics.control
        for number, column in enumerate(COLUMNS):
            numeric = column in NUMBERS
            delegate = NumberDelegate(self.table) if numeric else CellDelegate(self.table)
            self.table.setItemDelegateForColumn(number, delegate)
            self.table.setColumnWidth(number, int(_WIDTHS.get(column, 2.2) * unit))
        self._sums = QLabel()
        self._sums.setObjectName("TensorSums")
        self._sums.setWordWrap(True)
        set_look(self._sums, role="secondary")
        column_box = QVBoxLayout(self)
        column_box.setContentsMargins(SPACE_S, SPACE_S, SPACE_S, SPACE_S)
        column_box.setSpacing(SPACE_M)
        column_box.addWidget(self.search)
        column_box.addWidget(self.table, 1)
        column_box.addWidget(self._sums)
        self.search.textChanged.connect(self._on_filter)

    def show_path(self, path: str) -> None:
        """Read another model's headers; nothing when they are shown already."""
        if path == self._path:
            return
        self._path = path
        if self._task is not None:
            self._task.cancel()
        self.model.show_rows(())
        self._sums.setText(self.tr("Reading headers…") if path else "")
        if path:
            self._task = self._tasks.start(
                lambda control: (path, read_tensors(Path(path), control)),
                succeeded=self._on_read,
                failed=self._on_failed,
            )

    @Slot(object)
    def _on_read(self, found: tuple[str, list[TensorRow]]) -> None:
        path, rows = found
        if path != self._path:
            return
        self._task = None
        self.model.show_rows(rows)
        for column in ("error", "ratio"):
            self.table.setColumnHidden(COLUMNS.index(column), not self.model.has_errors)
        self._count()

    @Slot(object)
    def _on_failed(self, error: AppError) -> None:
        self._task = None
        self._sums.setText(str(error))

    @Slot(str)
    def _on_filter(self, text: str) -> None:
        self.model.filter_by(text)
        self._count()

    def _count(self) -> None:
        text = self.tr("{0} tensors · {1}")
        self._sums.setText(text.format(self.model.total, format_size(self.model.total_bytes)))


def read_tensors(path: Path, control: JobControl) -> list[TensorRow]:
    """List a model's tensors from its headers.

    Raises:
        AppError: it cannot be opened.
    """
    from deltaworks.checkpoints import open_checkpoint
    from deltaworks.checkpoints.delta_checkpoint import DeltaCheckpoint
    from deltaworks.checkpoints.roles import roles_of

    with open_checkpoint(path) as checkpoint:
        infos = [checkpoint.info(name) for name in checkpoint.names]
        control.check()
        roles = roles_of(infos, checkpoint.config)
        stored: dict[str, dict[str, float]] = {}
        if isinstance(checkpoint, DeltaCheckpoint):
            stored = {one["name"]: one for one in checkpoint.report.get("tensors", ())}
    rows = []
    for info in sorted(infos, key=lambda one: _order(roles[one.name])):
        role = roles[info.name]
        block = f"block {role.block}" if role.block is not None else ""
        group = " · ".join(part for part in (block, role.layer or _GROUPS[role.role]) if part)
        group = group or info.name
        found = stored.get(info.name)
        size = int(found["stored_bytes"]) if found else info.nbytes
        rows.append(
            TensorRow(
                info.name,
                info.shape,
                info.dtype,
                size,
                group,
                float(found["error"]) if found else None,
                info.nbytes / size if found and size else None,
            )
        )
    return rows


def _order(role: TensorRole) -> tuple[int, int]:
    """Embeddings, blocks in their order, then the rest."""
    if role.block is not None:
        return 1, role.block
    return (0 if role.role == "embedding" else 2), 0
