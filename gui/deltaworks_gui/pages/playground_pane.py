"""One answer of the Playground: who, what it wrote, what it took."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, Signal, Slot
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QSizePolicy, QVBoxLayout, QWidget

from deltaworks.library.rows import ModelRow
from deltaworks_gui.formats import format_number, format_size
from deltaworks_gui.pages.playground_state import LABELS, Pane, PlaygroundState
from deltaworks_gui.theme import SPACE_M, SPACE_S, set_look
from deltaworks_gui.widgets.buttons import secondary_button
from deltaworks_gui.widgets.card import Card
from deltaworks_gui.widgets.choice_field import ChoiceField
from deltaworks_gui.widgets.state_cell import StateLabel

_STATES = {
    "waiting": "queued",
    "loading": "preparing",
    "writing": "running",
    "done": "succeeded",
    "stopped": "cancelled",
    "failed": "failed",
}


class PaneView(Card):
    """Shows one pane; decides nothing.

    Args:
        number: its place, from 0.

    Signals:
        chosen: (its number, id of the model).
        agreed: its number: load the base that it needs.
    """

    chosen = Signal(object, object)
    agreed = Signal(object)

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self._rows: tuple[ModelRow, ...] | None = None
        self.setObjectName(f"Pane_{number}")
        # Panes are equally wide, whatever is in them.
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.model = ChoiceField(
            object_name=f"PaneModel_{number}",
            accessible_name=self.tr("Model of pane {0}").format(LABELS[number]),
        )
        self._name = QLabel()
        set_look(self._name, role="section")
        self._state = StateLabel()
        self.output = QPlainTextEdit()
        self.output.setObjectName(f"PaneOutput_{number}")
        self.output.setReadOnly(True)
        self.output.setAccessibleName(self.tr("Answer of pane {0}").format(LABELS[number]))
        self.output.setPlaceholderText(self.tr("The answer appears here."))
        self._facts = QLabel()
        self._facts.setObjectName(f"PaneFacts_{number}")
        set_look(self._facts, role="secondary")
        self._question = self._build_question()
        self._build()
        self.model.chosen.connect(self._on_chosen)

    def _build_question(self) -> QWidget:
        box, self._ask = QWidget(), QLabel()
        self._ask.setWordWrap(True)
        self._load = secondary_button(self.tr("Load it"), name=f"btn_load_{self.number}")
        self._load.clicked.connect(self._on_load)
        row = QHBoxLayout(box)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_M)
        row.addWidget(self._ask, 1)
        row.addWidget(self._load)
        return box

    def _build(self) -> None:
        top = QHBoxLayout()
        top.setSpacing(SPACE_S)
        top.addWidget(self.model, 1)
        top.addWidget(self._name, 1)
        top.addWidget(self._state)
        holder = QWidget()
        top.setContentsMargins(0, 0, 0, 0)
        holder.setLayout(top)
        self.add(holder)
        self.add(self._question)
        self.body.addWidget(self.output, 1)
        foot = QVBoxLayout()
        foot.setContentsMargins(0, 0, 0, 0)
        foot.addWidget(self._facts)
        under = QWidget()
        under.setLayout(foot)
        self.add(under)

    def show_pane(self, state: PlaygroundState, pane: Pane, base_bytes: int) -> None:
        """Bring everything up to date."""
        self._show_models(state, pane)
        if self.output.toPlainText() != pane.text:
            self.output.setPlainText(pane.text)
            self.output.moveCursor(QTextCursor.MoveOperation.End)
        words = {
            "waiting": self.tr("Waiting"),
            "loading": self.tr("Loading…"),
            "writing": self.tr("Writing…"),
            "done": self.tr("Done"),
            "stopped": self.tr("Stopped"),
            "failed": self.tr("Failed"),
        }
        self._state.setVisible(pane.state in words)
        self._state.show_state(_STATES.get(pane.state, ""), words.get(pane.state, ""), pane.error)
        self._question.setVisible(pane.state == "asks")
        text = self.tr("Needs another base ({0}). Load it?")
        self._ask.setText(text.format(format_size(base_bytes)))
        self._facts.setText(pane.error or _facts(pane))
        set_look(self._facts, tone="bad" if pane.error else "")

    def _show_models(self, state: PlaygroundState, pane: Pane) -> None:
        self.model.setVisible(not state.is_blind)
        self._name.setVisible(state.is_blind)
        self._name.setText(self.tr("Model {0}").format(LABELS[self.number]))
        self.model.blockSignals(True)
        if state.rows is not self._rows:
            self._rows = state.rows
            models = [(str(row.id), _label(row)) for row in state.rows]
            self.model.set_choices([("", self.tr("Choose a model")), *models])
        self.model.choose(str(pane.model) if pane.model is not None else "")
        self.model.setEnabled(not pane.is_busy)
        self.model.blockSignals(False)

    @Slot(str)
    def _on_chosen(self, model: str) -> None:
        if model:
            self.chosen.emit(self.number, int(model))

    @Slot()
    def _on_load(self) -> None:
        self.agreed.emit(self.number)


def _label(row: ModelRow) -> str:
    return f"{row.name} · {row.role.lower()}"


def _facts(pane: Pane) -> str:
    """``swapped in 0.21 s · 12 ms a token · 1.2 GB``."""
    if not pane.how:
        return ""

    def tr(text: str) -> str:
        return QCoreApplication.translate("Playground", text)

    loaded = {
        "kept": tr("in memory already"),
        "swapped": tr("swapped in {0} s").format(format_number(pane.load_seconds, 2)),
        "loaded": tr("loaded in {0} s").format(format_number(pane.load_seconds, 2)),
    }
    parts = [loaded.get(pane.how, "")]
    if pane.seconds_per_token:
        per_token = format_number(1000 * pane.seconds_per_token, 3)
        parts.append(tr("{0} ms a token").format(per_token))
    if pane.memory_bytes:
        parts.append(format_size(pane.memory_bytes))
    return " · ".join(part for part in parts if part)
