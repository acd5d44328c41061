"""A form made from declared options; it repeats no bound and no text of theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from deltaworks.options import OptionInfo
from deltaworks_gui.theme import SPACE_S, current_theme, set_look
from deltaworks_gui.widgets.buttons import quiet_button
from deltaworks_gui.widgets.option_row import OptionRow

_LABEL_SHARE = 0.3
_LABEL_LEAST, _LABEL_MOST = 3.0, 4.7  # control heights


class OptionForm(QWidget):
    """Rows of options; advanced ones fold away.

    Args:
        name: objectName.
        can_sweep: whether options may stand as lists.

    Signals:
        edited: (name, value).  reset: name.
        sweep_toggled: (name, on).  sweep_edited: (name, text).
    """

    edited = Signal(str, object)
    reset = Signal(str)
    sweep_toggled = Signal(str, bool)
    sweep_edited = Signal(str, str)

    def __init__(
        self, name: str = "ParamForm", *, can_sweep: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self._can_sweep = can_sweep
        self._infos: tuple[OptionInfo, ...] = ()
        self._rows: dict[str, OptionRow] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(SPACE_S + 2)
        self._fold = quiet_button(self.tr("Advanced"), name=f"{name}_advanced")
        self._fold.setCheckable(False)
        set_look(self._fold, align="start")
        self._fold.clicked.connect(self._on_fold)
        self._advanced = QWidget()
        self._inner = QVBoxLayout(self._advanced)
        self._inner.setContentsMargins(0, 0, 0, 0)
        self._inner.setSpacing(SPACE_S + 2)
        self._is_open = False
        self._column.addWidget(self._fold, 0, Qt.AlignmentFlag.AlignLeft)
        self._column.addWidget(self._advanced)
        self._show_fold()

    @property
    def rows(self) -> Mapping[str, OptionRow]:
        """The rows by the name of their option, in order."""
        return self._rows

    def set_options(self, infos: Sequence[OptionInfo], *, can_sweep: bool | None = None) -> None:
        """Build the form for other options; nothing happens when they are the same."""
        sweeps = self._can_sweep if can_sweep is None else can_sweep
        if (tuple(infos), sweeps) == (self._infos, self._can_sweep):
            return
        self._infos, self._can_sweep = tuple(infos), sweeps
        for row in self._rows.values():
            row.hide()
            row.setParent(None)
            row.deleteLater()
        self._rows = {info.name: self._make_row(info) for info in self._infos}
        if not (sweeps and any(info.sweepable for info in self._infos)):
            for row in self._rows.values():
                row.hide_sweep_room()
        self._show_fold()
        self._fit()

    def show_values(
        self,
        values: Mapping[str, Any],
        sweeps: Mapping[str, str] | None = None,
        faults: Mapping[str, str] | None = None,
        changed: Mapping[str, bool] | None = None,
    ) -> None:
        """Show values, lists and messages; what is not named has its default.

        Args:
            values: by name.
            sweeps: lists by name, as written.
            faults: messages by name.
            changed: which rows offer a reset; without it those whose value is no default.
        """
        for name, row in self._rows.items():
            value = values.get(name, row.info.default)
            sweep = (sweeps or {}).get(name)
            moved = value != row.info.default if changed is None else changed.get(name, False)
            row.show_value(value, sweep, is_changed=moved)
            row.show_fault((faults or {}).get(name, ""))
            if row.info.advanced and row.fault:
                self.open_advanced(True)

    def open_advanced(self, opened: bool) -> None:
        """Unfold the advanced options, or fold them away."""
        if opened != self._is_open:
            self._is_open = opened
            self._show_fold()

    def stops(self) -> list[QWidget]:
        """Where Tab stops, in order."""
        plain = [row for row in self._rows.values() if not row.info.advanced]
        folded = [row for row in self._rows.values() if row.info.advanced]
        before = [stop for row in plain for stop in row.stops()]
        return [*before, self._fold, *(stop for row in folded for stop in row.stops())]

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Labels take a share of the width."""
        super().resizeEvent(event)
        self._fit()

    def _make_row(self, info: OptionInfo) -> OptionRow:
        row = OptionRow(info, can_sweep=self._can_sweep)
        for ours, theirs in (
            (self.edited, row.edited),
            (self.reset, row.reset),
            (self.sweep_toggled, row.sweep_toggled),
            (self.sweep_edited, row.sweep_edited),
        ):
            theirs.connect(ours)
        if info.advanced:
            self._inner.addWidget(row)
        else:
            self._column.insertWidget(self._column.count() - 2, row)
        return row

    def _fit(self) -> None:
        unit = current_theme().metrics.control
        width = max(_LABEL_LEAST * unit, min(_LABEL_MOST * unit, _LABEL_SHARE * self.width()))
        for row in self._rows.values():
            row.set_label_width(round(width))

    def _on_fold(self) -> None:
        self.open_advanced(not self._is_open)

    def _show_fold(self) -> None:
        any_advanced = any(info.advanced for info in self._infos)
        self._fold.setVisible(any_advanced)
        self._advanced.setVisible(any_advanced and self._is_open)
        icon = "chevron-down" if self._is_open else "chevron-right"
        current_theme().bind_icon(self._fold, icon, "text-2", gap=SPACE_S // 2)
        state = self.tr("shown") if self._is_open else self.tr("folded away")
        self._fold.setAccessibleDescription(state)
