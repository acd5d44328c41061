"""One option in a form: label, field, what it does, what is wrong with it, reset, sweep."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from deltaworks.options import OptionInfo
from deltaworks_gui.theme import SPACE_S, SPACE_XS, current_theme, set_look
from deltaworks_gui.widgets.buttons import icon_button, quiet_button
from deltaworks_gui.widgets.option_fields import make_field
from deltaworks_gui.widgets.option_values import bounds_text, value_text
from deltaworks_gui.widgets.sweep_field import SweepField


class OptionRow(QWidget):
    """One option.

    Args:
        info: its declaration.
        can_sweep: whether the form offers sweeps at all.

    Signals:
        edited: (name, value).  reset: name.
        sweep_toggled: (name, on).  sweep_edited: (name, text).
    """

    edited = Signal(str, object)
    reset = Signal(str)
    sweep_toggled = Signal(str, bool)
    sweep_edited = Signal(str, str)

    def __init__(
        self, info: OptionInfo, *, can_sweep: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.info = info
        self.setObjectName(f"option_{info.name}")
        self.field = make_field(info)
        self.sweep_field: SweepField | None = None
        self._label = QLabel(info.title)
        self._label.setWordWrap(True)
        self._label.setToolTip(info.help)
        set_look(self._label, role="fact")
        self._reset = icon_button(
            "undo", self.tr("Back to {0}").format(value_text(info, info.default) or "—"),
            name=f"reset_{info.name}", compact=True,
        )  # fmt: skip
        self._reset.setAccessibleName(self.tr("Reset {0}").format(info.title))
        self._under = QLabel()
        self._under.setWordWrap(True)
        self._fault = QLabel()
        self._fault.setObjectName(f"fault_{info.name}")
        self._fault.setWordWrap(True)
        set_look(self._under, role="hint")
        set_look(self._fault, role="secondary", tone="bad")
        self._sweep = quiet_button(self.tr("Sweep"), name=f"btn_sweep_{info.name}")
        self._build(can_sweep and info.sweepable)
        self._tips()
        self.show_fault("")

    @property
    def fault(self) -> str:
        """The message beside the field."""
        return self._fault.text()

    @property
    def is_swept(self) -> bool:
        """Whether it stands as a list."""
        return self._sweep.isChecked()

    def show_value(self, value: Any, sweep: str | None, *, is_changed: bool) -> None:
        """Show a value, or the list of a sweep, and whether it is the usual one."""
        self.field.show_value(value)
        blocked = self._sweep.blockSignals(True)
        self._sweep.setChecked(sweep is not None)
        self._sweep.blockSignals(blocked)
        if sweep is not None and self.sweep_field is not None:
            self.sweep_field.show_text(sweep)
        self.field.setVisible(sweep is None)
        if self.sweep_field is not None:
            self.sweep_field.setVisible(sweep is not None)
        self._reset.setVisible(is_changed)
        self._label.setBuddy(self.entry)

    @property
    def entry(self) -> QWidget:
        """The part that takes the keyboard now."""
        swept = self.sweep_field is not None and self._sweep.isChecked()
        return self.sweep_field.entry if swept and self.sweep_field else self.field.entry

    def show_fault(self, fault: str) -> None:
        """Say beside the field what is wrong; empty takes it back."""
        self._fault.setText(fault)
        self._fault.setVisible(bool(fault))
        self._under.setVisible(not fault)
        self.field.show_invalid(bool(fault))
        if self.sweep_field is not None:
            self.sweep_field.show_invalid(bool(fault))
        self.entry.setAccessibleDescription(fault or self.info.help)

    def stops(self) -> list[QWidget]:
        """Where Tab stops, in order."""
        listed = self.sweep_field.stops() if self.sweep_field is not None else []
        return [self._reset, *self.field.stops(), *listed, self._sweep]

    def set_label_width(self, width: int) -> None:
        """How wide the labels of the form are, so that the fields line up."""
        self._head.setFixedWidth(width)

    def _build(self, can_sweep: bool) -> None:
        height = current_theme().metrics.control
        self._head = QWidget()
        head = QHBoxLayout(self._head)
        head.setContentsMargins(0, 0, SPACE_S, 0)
        head.setSpacing(SPACE_XS)
        head.addWidget(self._label, 1)
        head.addWidget(self._reset)
        self._head.setMinimumHeight(height)
        fields = QVBoxLayout()
        fields.setSpacing(SPACE_XS)
        fields.addWidget(self.field)
        if can_sweep:
            self.sweep_field = SweepField(self.info)
            self.sweep_field.setMinimumHeight(height)
            self.sweep_field.edited.connect(self._on_sweep_text)
            fields.addWidget(self.sweep_field)
        fields.addWidget(self._under)
        fields.addWidget(self._fault)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_S + 2)
        row.addWidget(self._head, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(fields, 1)
        self._place_sweep(row, can_sweep)
        self.field.edited.connect(self._on_value)
        self._reset.clicked.connect(self._on_reset)
        self._sweep.toggled.connect(self._on_sweep)

    def _place_sweep(self, row: QHBoxLayout, can_sweep: bool) -> None:
        """The toggle, or the room it would take, so that all fields end alike."""
        keep = self._sweep.sizePolicy()
        keep.setRetainSizeWhenHidden(True)
        self._sweep.setSizePolicy(keep)
        self._sweep.setCheckable(True)
        self._sweep.setAccessibleName(self.tr("Sweep {0}").format(self.info.title))
        self._sweep.setToolTip(self.tr("Try several values, one trial each"))
        row.addWidget(self._sweep, 0, Qt.AlignmentFlag.AlignTop)
        if not can_sweep:
            self._sweep.hide()

    def hide_sweep_room(self) -> None:
        """No option of this form can be swept: the fields take the room."""
        keep = self._sweep.sizePolicy()
        keep.setRetainSizeWhenHidden(False)
        self._sweep.setSizePolicy(keep)

    def _tips(self) -> None:
        bounds = bounds_text(self.info)
        self._under.setText(self.info.help.partition(". ")[0].rstrip("."))
        tip = f"{self.info.help}\n{bounds}" if bounds else self.info.help
        self._under.setToolTip(tip)
        self.field.setToolTip(tip)

    def _on_value(self, value: object) -> None:
        self.edited.emit(self.info.name, value)

    def _on_reset(self) -> None:
        self.reset.emit(self.info.name)
        self.entry.setFocus()

    def _on_sweep(self, on: bool) -> None:
        self.sweep_toggled.emit(self.info.name, on)

    def _on_sweep_text(self, text: str) -> None:
        self.sweep_edited.emit(self.info.name, text)
