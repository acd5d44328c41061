"""The line over the plot: what each axis shows, and lines that grey the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication, Qt, Signal, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QVBoxLayout, QWidget

from deltaworks.studies.trials import Sweep
from deltaworks_gui.plots.choice import PlotChoice
from deltaworks_gui.theme import SPACE_L, SPACE_M, SPACE_S, current_theme, set_look
from deltaworks_gui.widgets.buttons import icon_button
from deltaworks_gui.widgets.choice_field import ChoiceField
from deltaworks_gui.widgets.flow_box import FlowBox
from deltaworks_gui.widgets.number_field import RealField

MEGABYTE = 1_000_000.0


_FRONT = "front"


@dataclass(frozen=True, slots=True)
class Tag:
    """A kind of trial that can be left out, by the tag of ``plots.choice.tags_of``."""

    tag: str
    text: str


class FilterRow(QWidget):
    """Two axes, two limits, and which trials are left out.

    Signals:
        chosen: a dict of what is another in the PlotChoice.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_showing = False
        self._choice: PlotChoice | None = None
        self._tags: list[list[Tag]] = []
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
            [("log", self.tr("Log")), ("linear", self.tr("Linear"))],
            object_name="plot.scale",
            accessible_name=self.tr("Scale of the size axis"),
            flat=True,
        )
        self._least = self._number("plot.at_least", self.tr("Quality at least"), 100.0, "%", 1)
        self._most = self._number("plot.at_most", self.tr("Size at most"), 1e6, "MB", 2)
        self._filter = icon_button("filter", self.tr("Filter trials"), name="btn_filter")
        self._filter.setAccessibleDescription(self.tr("Choose which trials are shown"))
        self._filter.setCheckable(True)
        self._filter.clicked.connect(self._on_filter)
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
        flow = FlowBox(gap=SPACE_S)
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, 0)
        column.addWidget(flow)
        against = QLabel(self.tr("against"))
        set_look(against, role="secondary")
        flow.add(_together(self._y, against, self._x, self._scale))
        for title, field in (
            (self.tr("&Quality at least"), self._least),
            (self.tr("Size at &most"), self._most),
        ):
            label = QLabel(title)
            label.setBuddy(field)
            set_look(label, role="secondary")
            field.setFixedWidth(current_theme().metrics.control * 7 // 2)
            flow.add(_together(label, field))
        flow.add(self._filter)

    def show_choice(self, choice: PlotChoice, sweeps: Sequence[Sweep]) -> None:
        """Show what is chosen, and offer what the sweeps hold; what is typed stays."""
        self._tags = tags_in(sweeps)
        if choice == self._choice:
            return
        self._is_showing = True
        self._choice = choice
        self._y.choose(choice.y)
        self._x.choose(choice.x)
        self._scale.choose("log" if choice.log_x else "linear")
        self._least.setValue(100.0 * (choice.at_least or 0.0))
        self._most.setEnabled(choice.x == "size")
        self._most.setValue((choice.at_most or 0.0) / MEGABYTE if choice.x == "size" else 0.0)
        count = choice.n_filters
        self._filter.setChecked(bool(count))
        words = self.tr("Filter trials: {0} kinds are left out").format(count)
        self._filter.setToolTip(words if count else self.tr("Filter trials"))
        self._filter.setAccessibleName(self._filter.toolTip())
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

    @Slot()
    def _on_filter(self) -> None:
        """What is checked is shown."""
        choice = self._choice or PlotChoice()
        self._filter.setChecked(bool(choice.n_filters))  # the click itself means nothing
        menu = QMenu(self._filter)
        menu.setObjectName("FilterMenu")
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._add(menu, Tag(_FRONT, self.tr("Front only")), is_checked=choice.front_only)
        for group in self._tags:
            menu.addSeparator()
            for tag in group:
                self._add(menu, tag, is_checked=tag.tag not in choice.without)
        menu.popup(self._filter.mapToGlobal(self._filter.rect().bottomLeft()))

    def _add(self, menu: QMenu, tag: Tag, *, is_checked: bool) -> None:
        action = menu.addAction(tag.text)
        action.setCheckable(True)
        action.setChecked(is_checked)
        action.setData(tag.tag)
        action.toggled.connect(self._on_tag)

    @Slot(bool)
    def _on_tag(self, is_checked: bool) -> None:
        action, choice = self.sender(), self._choice or PlotChoice()
        if not isinstance(action, QAction):
            return
        tag = str(action.data())
        if tag == _FRONT:
            self.chosen.emit({"front_only": is_checked})
        else:
            without = choice.without - {tag} if is_checked else choice.without | {tag}
            self.chosen.emit({"without": without})


def tags_in(sweeps: Sequence[Sweep]) -> list[list[Tag]]:
    """What these sweeps' trials can be left out by, where there is more than one of a kind."""
    trials = [trial for sweep in sweeps for trial in sweep.trials]
    experts = {f"expert:{trial.expert}": trial.expert for trial in trials}
    methods = {f"method:{trial.method}": trial.title for trial in trials}
    how = {
        "measured": QCoreApplication.translate("FilterRow", "Measured"),
        "estimated": QCoreApplication.translate("FilterRow", "Estimated"),
    }
    return [
        [Tag(tag, text) for tag, text in found.items()]
        for found in (experts, methods, how)
        if len(found) > 1
    ]


def _together(*widgets: QWidget) -> QWidget:
    """Widgets that stay on one line."""
    box = QWidget()
    row = QHBoxLayout(box)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(SPACE_S)
    for widget in widgets:
        row.addWidget(widget)
    return box
