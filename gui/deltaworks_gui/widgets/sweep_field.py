"""Several values of one option: a line to write them in, or ticks where they are few."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QLineEdit, QWidget

from deltaworks.options import OptionInfo
from deltaworks_gui.theme import SPACE_L, SPACE_M, SPACE_S, SPACE_XS, current_theme, set_look
from deltaworks_gui.widgets.flow_box import FlowBox
from deltaworks_gui.widgets.option_values import list_text, parse_list


class SweepField(QWidget):
    """The values that a sweep tries.

    Args:
        info: the option they belong to.

    Signals:
        edited: the list as text, by the user's hand.
    """

    edited = Signal(str)

    def __init__(self, info: OptionInfo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._info = info
        self._checks: dict[str, QCheckBox] = {}
        self._line: _ListLine | None = None
        name = self.tr("{0}, values to try").format(info.title)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        if info.kind in ("choice", "flag"):
            row.addWidget(self._make_checks(info))
        else:
            self._line = _ListLine("" if info.unit == "fraction" else info.unit)
            self._line.setPlaceholderText(self.tr("2, 4, 8 or start:stop:count"))
            self._line.setAccessibleName(name)
            self._line.setAccessibleDescription(info.help)
            self._line.setObjectName(f"sweep_{info.name}")
            self._line.textEdited.connect(self.edited)
            row.addWidget(self._line)
        self.setAccessibleName(name)

    @property
    def entry(self) -> QWidget:
        """The part that takes the keyboard."""
        return self._line if self._line is not None else next(iter(self._checks.values()))

    def stops(self) -> list[QWidget]:
        """Where Tab stops, in order."""
        return [self._line] if self._line is not None else list(self._checks.values())

    def text(self) -> str:
        """The list as it stands."""
        if self._line is not None:
            return self._line.text()
        return ", ".join(one for one, check in self._checks.items() if check.isChecked())

    def show_text(self, text: str) -> None:
        """Show a list without a word to anyone."""
        if self._line is not None:
            if self._line.text() != text:
                self._line.setText(text)
            return
        ticked = {list_text(self._info, [value]) for value in parse_list(self._info, text).values}
        for one, check in self._checks.items():
            blocked = check.blockSignals(True)
            check.setChecked(one in ticked)
            check.blockSignals(blocked)

    def show_invalid(self, invalid: bool) -> None:
        """Mark the field, or not."""
        if self._line is not None and bool(self._line.property("invalid")) != invalid:
            set_look(self._line, invalid=invalid)

    def _make_checks(self, info: OptionInfo) -> FlowBox:
        choices = info.choices or ("on", "off")
        flow = FlowBox(gap=SPACE_L, above=SPACE_XS)  # in line with fields, which are higher
        for one in choices:
            check = QCheckBox(info.labels.get(one, one))
            check.setObjectName(f"sweep_{info.name}_{one}")
            check.setAccessibleName(f"{info.title}: {check.text()}")
            check.toggled.connect(self._on_ticked)
            flow.add(check)
            self._checks[one] = check
        return flow

    def _on_ticked(self) -> None:
        self.edited.emit(self.text())


class _ListLine(QLineEdit):
    """A line with the unit at its end."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = QLabel(unit, self)
        self._unit.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        set_look(self._unit, role="hint")
        self.setMinimumWidth(5 * current_theme().metrics.control // 2)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the unit at the end."""
        super().resizeEvent(event)
        width = self._unit.sizeHint().width() if self._unit.text() else 0
        room = self.rect().adjusted(0, 0, -SPACE_M, 0)
        left = SPACE_M if self.isRightToLeft() else room.right() - width
        self._unit.setGeometry(left, 0, width, self.height())
        self.setTextMargins(0, 0, width + SPACE_S if width else 0, 0)
