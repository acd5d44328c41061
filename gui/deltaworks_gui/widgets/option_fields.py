"""One field for one value, chosen by the kind of option."""

from __future__ import annotations

import math
from typing import Any

from PySide6.QtCore import QLocale, QSize, Qt, Signal
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QSizePolicy,
    QSlider,
    QWidget,
)

from deltaworks.options import OptionInfo
from deltaworks_gui.theme import SPACE_M, SPACE_S, current_theme, set_look
from deltaworks_gui.widgets.buttons import icon_button
from deltaworks_gui.widgets.choice_field import ChoiceField
from deltaworks_gui.widgets.number_field import IntField, RealField
from deltaworks_gui.widgets.option_values import number_text

_MOST = 2**31 - 1
_FAR = 1e9
_NOTCHES = 1000
_DECIMALS = 6
_NARROWEST = 2.5  # control heights


class ValueField(QWidget):
    """A field that shows and takes one value.

    Args:
        info: what the value is.

    Signals:
        edited: another value, by the user's hand.
    """

    edited = Signal(object)

    def __init__(self, info: OptionInfo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.info = info
        self.setMinimumHeight(current_theme().metrics.control)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(SPACE_M)

    @property
    def entry(self) -> QWidget:
        """The part that takes the keyboard."""
        raise NotImplementedError

    def value(self) -> Any:
        """What is shown."""
        raise NotImplementedError

    def show_value(self, value: Any) -> None:
        """Show a value without a word to anyone."""
        raise NotImplementedError

    def stops(self) -> list[QWidget]:
        """Where Tab stops, in order."""
        return [self.entry]

    def _on_value(self) -> None:
        self.edited.emit(self.value())

    def show_invalid(self, invalid: bool) -> None:
        """Mark the field, or not."""
        if bool(self.entry.property("invalid")) != invalid:
            set_look(self.entry, invalid=invalid)


def make_field(info: OptionInfo, *, compact: bool = False) -> ValueField:
    """The field for an option; ``compact`` leaves sliders out."""
    field = _KINDS[info.kind](info)
    field.setObjectName(f"field_{info.name}")
    field.entry.setObjectName(f"value_{info.name}")
    field.entry.setAccessibleName(info.title)
    field.entry.setAccessibleDescription(info.help)
    if compact and isinstance(field, _RealValue) and field.slider is not None:
        field.slider.hide()
    return field


class _Whole(IntField):
    """Lets a wrong number be typed, so that its fault can be told; arrows keep to the bounds."""

    def __init__(self, info: OptionInfo) -> None:
        super().__init__(-_MOST, _MOST, unit=info.unit)
        least = 1 if info.excludes_minimum else 0
        most = 1 if info.excludes_maximum else 0
        self._low = -_MOST if info.minimum is None else math.ceil(info.minimum) + least
        self._high = _MOST if info.maximum is None else math.floor(info.maximum) - most
        self.setSingleStep(int(info.step or 1))

    def stepBy(self, steps: int) -> None:  # noqa: N802
        """Go on by steps, never past a bound."""
        value = self.value() + steps * self.singleStep()
        self.setValue(min(max(value, self._low), self._high))
        self.selectAll()

    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:  # noqa: N802
        """Which arrows lead somewhere."""
        return _steps(self.value() > self._low, self.value() < self._high)

    def minimumSizeHint(self) -> QSize:
        """Room for a usual number, not for the longest one."""
        return _narrow(super().sizeHint())

    sizeHint = minimumSizeHint


class _Real(RealField):
    """The same for real numbers; zeros at the end are not shown."""

    def __init__(self, info: OptionInfo) -> None:
        unit = "" if info.unit == "fraction" else info.unit
        super().__init__(-_FAR, _FAR, decimals=_DECIMALS, unit=unit)
        self._low = -_FAR if info.minimum is None else info.minimum
        self._high = _FAR if info.maximum is None else info.maximum
        self._excludes = (info.excludes_minimum, info.excludes_maximum)
        self.setSingleStep(info.step or 0.1)

    def stepBy(self, steps: int) -> None:  # noqa: N802
        """Go on by steps, never past a bound."""
        value = self.value() + steps * self.singleStep()
        if self._allows(value):
            self.setValue(value)
        elif not (self._excludes[0] if steps < 0 else self._excludes[1]):
            self.setValue(self._low if steps < 0 else self._high)
        self.selectAll()

    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:  # noqa: N802
        """Which arrows lead somewhere."""
        return _steps(self.value() > self._low, self.value() < self._high)

    def textFromValue(self, value: float) -> str:  # noqa: N802
        """``0.25``, not ``0.250000``."""
        text = number_text(round(value, _DECIMALS))
        return text.replace(".", QLocale().decimalPoint())

    def minimumSizeHint(self) -> QSize:
        """Room for a usual number, not for the longest one."""
        return _narrow(super().sizeHint())

    sizeHint = minimumSizeHint

    def _allows(self, value: float) -> bool:
        above = value > self._low or (value == self._low and not self._excludes[0])
        below = value < self._high or (value == self._high and not self._excludes[1])
        return above and below


def _steps(down: bool, up: bool) -> QAbstractSpinBox.StepEnabledFlag:
    flag = QAbstractSpinBox.StepEnabledFlag
    downwards = flag.StepDownEnabled if down else flag.StepNone
    return downwards | (flag.StepUpEnabled if up else flag.StepNone)


def _narrow(hint: QSize) -> QSize:
    return QSize(round(_NARROWEST * current_theme().metrics.control), hint.height())


class _IntegerValue(ValueField):
    """A spin box."""

    def __init__(self, info: OptionInfo, parent: QWidget | None = None) -> None:
        super().__init__(info, parent)
        self._spin = _Whole(info)
        self._row.addWidget(self._spin, 1)
        self._spin.valueChanged.connect(self._on_value)

    @property
    def entry(self) -> QWidget:
        return self._spin

    def value(self) -> int:
        return self._spin.value()

    def show_value(self, value: Any) -> None:
        if self._spin.value() != int(value):
            blocked = self._spin.blockSignals(True)
            self._spin.setValue(max(-_MOST, min(_MOST, int(value))))
            self._spin.blockSignals(blocked)


class _RealValue(ValueField):
    """A spin box, and a slider where both ends are known."""

    def __init__(self, info: OptionInfo, parent: QWidget | None = None) -> None:
        super().__init__(info, parent)
        self._spin = _Real(info)
        self._row.addWidget(self._spin, 1)
        self.slider: QSlider | None = None
        if info.minimum is not None and info.maximum is not None:
            self.slider = self._make_slider(info)
            self._row.addWidget(self.slider, 1)
        self._spin.valueChanged.connect(self._on_value)

    @property
    def entry(self) -> QWidget:
        return self._spin

    def value(self) -> float:
        return self._spin.value()

    def show_value(self, value: Any) -> None:
        if self._spin.value() != float(value):
            blocked = self._spin.blockSignals(True)
            self._spin.setValue(float(value))
            self._spin.blockSignals(blocked)
        self._show_place()

    def _make_slider(self, info: OptionInfo) -> QSlider:
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setObjectName(f"slider_{info.name}")
        slider.setAccessibleName(self.tr("{0}, slider").format(info.title))
        slider.setRange(0, _NOTCHES)
        slider.setFocusPolicy(Qt.FocusPolicy.ClickFocus)  # the arrows of the field do the same
        slider.setMinimumWidth(current_theme().metrics.control)
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        slider.setSizePolicy(policy)
        slider.valueChanged.connect(self._on_slid)
        return slider

    def _ends(self) -> tuple[float, float]:
        low, high = float(self.info.minimum or 0.0), float(self.info.maximum or 0.0)
        step = self.info.step or (high - low) / 100
        low = low + step if self.info.excludes_minimum else low
        high = high - step if self.info.excludes_maximum else high
        return (max(low, step) if self.info.log else low), high

    def _on_value(self) -> None:
        self._show_place()
        super()._on_value()

    def _show_place(self) -> None:
        if self.slider is None:
            return
        low, high = self._ends()
        value = min(max(self._spin.value(), low), high)
        share = (value - low) / (high - low)
        if self.info.log:
            share = math.log(value / low) / math.log(high / low)
        blocked = self.slider.blockSignals(True)
        self.slider.setValue(round(share * _NOTCHES))
        self.slider.blockSignals(blocked)

    def _on_slid(self, notch: int) -> None:
        low, high = self._ends()
        share = notch / _NOTCHES
        value = low * (high / low) ** share if self.info.log else low + (high - low) * share
        self._spin.setValue(float(f"{value:.3g}"))


class _ChoiceValue(ValueField):
    """A list that drops down."""

    def __init__(self, info: OptionInfo, parent: QWidget | None = None) -> None:
        super().__init__(info, parent)
        self._choice = ChoiceField([(one, info.labels.get(one, one)) for one in info.choices])
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._choice.setSizePolicy(policy)
        self._choice.setMinimumWidth(round(_NARROWEST * current_theme().metrics.control))
        self._row.addWidget(self._choice, 1)
        self._choice.chosen.connect(self._on_value)

    @property
    def entry(self) -> QWidget:
        return self._choice

    def value(self) -> str:
        return self._choice.current

    def show_value(self, value: Any) -> None:
        blocked = self._choice.blockSignals(True)
        self._choice.choose(str(value))
        self._choice.blockSignals(blocked)


class _FlagValue(ValueField):
    """A tick."""

    def __init__(self, info: OptionInfo, parent: QWidget | None = None) -> None:
        super().__init__(info, parent)
        self._check = QCheckBox()
        self._row.addWidget(self._check)
        self._row.addStretch(1)
        self._check.toggled.connect(self._on_value)

    @property
    def entry(self) -> QWidget:
        return self._check

    def value(self) -> bool:
        return self._check.isChecked()

    def show_value(self, value: Any) -> None:
        blocked = self._check.blockSignals(True)
        self._check.setChecked(bool(value))
        self._check.blockSignals(blocked)


class _TextValue(ValueField):
    """A line of text."""

    def __init__(self, info: OptionInfo, parent: QWidget | None = None) -> None:
        super().__init__(info, parent)
        self._line = QLineEdit()
        self._row.addWidget(self._line, 1)
        self._line.textEdited.connect(self._on_value)

    @property
    def entry(self) -> QWidget:
        return self._line

    def value(self) -> str:
        return self._line.text()

    def show_value(self, value: Any) -> None:
        if self._line.text() != str(value):
            self._line.setText(str(value))
            self._line.setToolTip(str(value))


class _PathValue(_TextValue):
    """A line of text and a way to look for the folder."""

    _mode = QFileDialog.FileMode.Directory

    def __init__(self, info: OptionInfo, parent: QWidget | None = None) -> None:
        super().__init__(info, parent)
        self._row.setSpacing(SPACE_S)
        text = self.tr("Browse for {0}").format(info.title)
        self._browse = icon_button("folder", text, name=f"btn_browse_{info.name}")
        self._row.addWidget(self._browse)
        self._browse.clicked.connect(self._on_browse)

    def stops(self) -> list[QWidget]:
        return [self._line, self._browse]

    def _on_browse(self) -> None:
        dialog = QFileDialog(self, self.info.title, self._line.text())
        dialog.setFileMode(self._mode)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.take)
        dialog.open()

    def take(self, path: str) -> None:
        """A path was chosen."""
        self.show_value(path)
        self.edited.emit(path)


class _FileValue(_PathValue):
    """A line of text and a way to look for the file."""

    _mode = QFileDialog.FileMode.ExistingFile


_KINDS: dict[str, type[ValueField]] = {
    "integer": _IntegerValue,
    "real": _RealValue,
    "choice": _ChoiceValue,
    "flag": _FlagValue,
    "text": _TextValue,
    "path": _PathValue,
    "file": _FileValue,
}
