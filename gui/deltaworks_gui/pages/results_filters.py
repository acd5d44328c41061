"""The line over the plot: what each axis shows, and lines that grey the rest."""

from __future__ import annotations

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from deltaworks_gui.plots.choice import PlotChoice
from deltaworks_gui.theme import SPACE_L, SPACE_M, SPACE_S, set_look
from deltaworks_gui.widgets.choice_field import ChoiceField
from deltaworks_gui.widgets.number_field import RealField

MEGABYTE = 1_000_000.0


class FilterRow(QWidget):
    """Two axes and two limits.

    Signals:
        chosen: a dict of what is another in the PlotChoice.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_showing = False
        self._y = ChoiceField(
            [
                ("quality", self.tr("Quality kept")),
                ("accuracy", self.tr("Mean accuracy")),
                ("recovered", self.tr("Recovered (KL)")),
                ("fidelity", self.tr("Fidelity of weights")),
            ],
            object_name="plot.y",
            accessible_name=self.tr("Height of the points"),
            flat=True,
        )
        self._x = ChoiceField(
            [
                ("size", self.tr("Size")),
                ("ratio", self.tr("% of full model")),
                ("bpw", self.tr("Bits per weight")),
            ],
            object_name="plot.x",
            accessible_name=self.tr("Size axis"),
            flat=True,
        )
        self._scale = ChoiceField(
            [("log", self.tr("Logarithmic")), ("linear", self.tr("Linear"))],
            object_name="plot.scale",
            accessible_name=self.tr("Scale of the size axis"),
            flat=True,
        )
        self._least = self._number("plot.at_least", self.tr("Quality at least"), 100.0, "%", 1)
        self._most = self._number("plot.at_most", self.tr("Size at most"), 1e6, "MB", 2)
        self._build()
        self._y.chosen.connect(self._on_changed)
        self._x.chosen.connect(self._on_changed)
        self._scale.chosen.connect(self._on_changed)
        self._least.valueChanged.connect(self._on_changed)
        self._most.valueChanged.connect(self._on_changed)

    def _number(self, name: str, title: str, highest: float, unit: str, decimals: int) -> RealField:
        field = RealField(0.0, highest, decimals=decimals, unit=unit, accessible_name=title)
        field.setObjectName(name)
        field.setSpecialValueText("—")
        field.setKeyboardTracking(False)
        field.setSingleStep(1.0)
        return field

    def _build(self) -> None:
        set_look(self, surface="page")
        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, 0)
        row.setSpacing(SPACE_S)
        row.addWidget(self._y)
        against = QLabel(self.tr("against"))
        set_look(against, role="secondary")
        row.addWidget(against)
        row.addWidget(self._x)
        row.addWidget(self._scale)
        row.addStretch(1)
        for title, field in (
            (self.tr("&Quality at least"), self._least),
            (self.tr("Size at &most"), self._most),
        ):
            label = QLabel(title)
            label.setBuddy(field)
            set_look(label, role="secondary")
            row.addSpacing(SPACE_S)
            row.addWidget(label)
            row.addWidget(field)

    def show_choice(self, choice: PlotChoice) -> None:
        """Show what is chosen."""
        self._is_showing = True
        self._y.choose(choice.y)
        self._x.choose(choice.x)
        self._scale.choose("log" if choice.log_x else "linear")
        self._least.setValue(100.0 * (choice.at_least or 0.0))
        self._most.setEnabled(choice.x == "size")
        self._most.setValue((choice.at_most or 0.0) / MEGABYTE if choice.x == "size" else 0.0)
        self._is_showing = False

    @Slot()
    def _on_changed(self) -> None:
        if self._is_showing:
            return
        is_size = self._x.current == "size"
        self.chosen.emit(
            {
                "y": self._y.current,
                "x": self._x.current,
                "log_x": self._scale.current == "log",
                "at_least": self._least.value() / 100.0 or None,
                "at_most": (self._most.value() * MEGABYTE or None) if is_size else None,
            }
        )
