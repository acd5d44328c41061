"""What a job costs, and the few choices that decide it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from deltaworks_gui.theme import SPACE_S, current_theme
from deltaworks_gui.widgets.card import caption
from deltaworks_gui.widgets.choice_field import ChoiceField
from deltaworks_gui.widgets.fact_list import FactList

Choices = Sequence[tuple[str, str]]

OTHER = "…"
"""Id of the entry that asks for a folder."""


@dataclass(frozen=True, slots=True)
class CostLine:
    """One fact of the panel."""

    key: str
    label: str
    value: str
    tone: str = ""
    tip: str = ""


class CostPanel(QWidget):
    """Facts of the plan, then lane, quality check and what is kept.

    Signals:
        lane_chosen, evaluation_chosen, keep_chosen: ids.
        folder_asked: another evaluation set is wanted.
        memory_allowed: run although it will not fit.
    """

    lane_chosen = Signal(str)
    evaluation_chosen = Signal(str)
    keep_chosen = Signal(str)
    folder_asked = Signal()
    memory_allowed = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("CostPanel")
        self.setAccessibleName(self.tr("Cost"))
        self.facts = FactList(accessible_name=self.tr("Cost"))
        self._choices = FactList(accessible_name=self.tr("How it runs"))
        self.lane = self._choice("lane", self.tr("Lane"))
        self.evaluation = self._choice("evaluation", self.tr("Quality check"))
        self.keep = self._choice("keep", self.tr("Keep"))
        self._anyway = QCheckBox(self.tr("Run anyway"))
        self._anyway.setObjectName("chk_memory_anyway")
        self._anyway.setAccessibleName(self.tr("Run although memory will not fit"))
        self._anyway.toggled.connect(self.memory_allowed)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(caption(self.tr("Cost")))
        column.addSpacing(SPACE_S)
        column.addWidget(self.facts)
        column.addWidget(self._anyway)
        column.addWidget(self._choices)
        self._anyway.hide()
        self.lane.chosen.connect(self.lane_chosen)
        self.evaluation.chosen.connect(self._on_evaluation)
        self.keep.chosen.connect(self.keep_chosen)

    def stops(self) -> list[QWidget]:
        """Where Tab stops, in order."""
        return [self._anyway, self.lane, self.evaluation, self.keep]

    def show_lines(self, lines: Sequence[CostLine]) -> None:
        """Show the facts."""
        for line in lines:
            self.facts.set_fact(
                line.key, line.label, line.value, tone=line.tone, tooltip=line.tip or line.value
            )

    def show_choices(
        self, lanes: Choices, lane: str, sets: Choices, chosen_set: str, keeps: Choices, keep: str
    ) -> None:
        """Show what can be chosen, and what is."""
        _show(self.lane, lanes, lane)
        _show(self.evaluation, [*sets, (OTHER, self.tr("Choose a folder…"))], chosen_set)
        _show(self.keep, keeps, keep)

    def show_measured(self, measured: bool, *, compares: bool = False) -> None:
        """Whether the job measures and keeps: a merge does neither, only their comparison."""
        self._choices.set_row_visible("evaluation", measured or compares)
        self._choices.set_row_visible("keep", measured)
        label = self.tr("Compare on") if compares else self.tr("Quality check")
        self._choices.set_label("evaluation", label)
        self.evaluation.setAccessibleName(label)

    def show_memory(self, *, asks: bool, allowed: bool) -> None:
        """Ask for a tick, or not."""
        blocked = self._anyway.blockSignals(True)
        self._anyway.setChecked(allowed)
        self._anyway.blockSignals(blocked)
        self._anyway.setVisible(asks)

    def _choice(self, key: str, label: str) -> ChoiceField:
        field = _EndChoice(object_name=f"Cost_{key}", accessible_name=label, flat=True)
        self._choices.set_widget(key, label, field)
        return field

    def _on_evaluation(self, chosen: str) -> None:
        if chosen == OTHER:
            self.folder_asked.emit()
        else:
            self.evaluation_chosen.emit(chosen)


class _EndChoice(ChoiceField):
    """As wide as what is chosen, so that it stands at the end of its line."""

    def sizeHint(self) -> QSize:
        """Text, padding and arrow."""
        text = self.fontMetrics().horizontalAdvance(self.currentText())
        return QSize(
            text + round(1.4 * current_theme().metrics.control), super().sizeHint().height()
        )

    def minimumSizeHint(self) -> QSize:
        """Room for a few letters: a long name may be cut, a short one keeps to the end."""
        hint = self.sizeHint()
        return QSize(min(hint.width(), 3 * current_theme().metrics.control), hint.height())


def _show(field: ChoiceField, choices: Choices, chosen: str) -> None:
    blocked = field.blockSignals(True)
    known = [(field.itemData(place), field.itemText(place)) for place in range(field.count())]
    if known != list(choices):
        field.set_choices(choices)
    field.choose(chosen)
    field.blockSignals(blocked)
    field.setToolTip(field.currentText())
    field.updateGeometry()
