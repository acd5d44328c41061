"""Playground: judge by eye. One base stays in memory; the rest is swapped in."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from deltaworks_gui.context import AppContext
from deltaworks_gui.page import Page
from deltaworks_gui.pages.playground_controller import PlaygroundController
from deltaworks_gui.pages.playground_pane import PaneView
from deltaworks_gui.pages.playground_state import LEAST, MOST, comparison_text
from deltaworks_gui.payloads import LibraryChoice
from deltaworks_gui.theme import SPACE_L, SPACE_M, SPACE_S, SPACE_XL, current_theme, set_look
from deltaworks_gui.widgets.buttons import (
    icon_button,
    primary_button,
    quiet_button,
    secondary_button,
)
from deltaworks_gui.widgets.empty_state import EmptyState
from deltaworks_gui.widgets.number_field import IntField, RealField

_PROMPT_LINES = 3


class PlaygroundPage(Page):
    """Shows the controller's panes; decides nothing."""

    def __init__(self, context: AppContext, controller: PlaygroundController | None = None) -> None:
        super().__init__(context, "Playground", self.tr("Playground"))
        self.controller = controller or PlaygroundController(context)
        self.controller.setParent(self)
        self.panes = [PaneView(number) for number in range(MOST)]
        self._build_header()
        self._empty = EmptyState(
            "Empty_Playground",
            self.tr("Pick a base to hold in memory"),
            self.tr("Its fine-tunes and deltas are swapped in and answer side by side."),
            primary=self.tr("Choose…"),
            icon="playground",
        )
        self._stack = QStackedWidget()
        self._stack.addWidget(self._empty)
        self._stack.addWidget(self._build_body())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._stack)
        self._connect()
        self._show()

    # Building

    def _build_header(self) -> None:
        self._blind = quiet_button(self.tr("Blind"), icon="unknown", name="btn_blind")
        self._blind.setCheckable(True)
        self._blind.setToolTip(self.tr("Hides names and shuffles panes until you reveal them"))
        self._fewer = icon_button("minus", self.tr("One pane fewer"), name="btn_pane_remove")
        self._more = icon_button("plus", self.tr("One pane more"), name="btn_pane_add")
        self._save = secondary_button(
            self.tr("Save comparison…"), icon="export", name="btn_save_comparison"
        )
        for widget in (self._blind, self._fewer, self._more, self._save):
            self.header.add_action(widget)

    def _build_body(self) -> QWidget:
        row = QHBoxLayout()
        row.setSpacing(SPACE_M)
        for pane in self.panes:
            row.addWidget(pane, 1)
        body = QWidget()
        set_look(body, surface="page")
        column = QVBoxLayout(body)
        column.setContentsMargins(SPACE_XL, SPACE_L, SPACE_XL, SPACE_L)
        column.setSpacing(SPACE_M)
        column.addLayout(row, 1)
        column.addWidget(self._build_prompt())
        column.addLayout(self._build_options())
        return body

    def _build_prompt(self) -> QPlainTextEdit:
        self.prompt = _Prompt()
        self.prompt.setObjectName("PlaygroundPrompt")
        self.prompt.setAccessibleName(self.tr("Prompt"))
        self.prompt.setPlaceholderText(self.tr("Ask all of them the same (Ctrl+Return sends)"))
        line = current_theme().metrics.control
        self.prompt.setFixedHeight(_PROMPT_LINES * line)
        return self.prompt

    def _build_options(self) -> QHBoxLayout:
        self._seed = IntField(0, 2**31 - 1, accessible_name=self.tr("Seed"))
        self._temperature = RealField(0.0, 10.0, accessible_name=self.tr("Temperature"))
        self._tokens = IntField(1, 100_000, accessible_name=self.tr("Most tokens"))
        self._tokens.setValue(self.controller.state.max_tokens)
        self._send = primary_button(self.tr("Send to all"), icon="play", name="btn_send")
        self._stop = secondary_button(self.tr("Stop"), icon="stop", name="btn_stop")
        row = QHBoxLayout()
        row.setSpacing(SPACE_S)
        fields = (
            (self.tr("Seed"), self._seed),
            (self.tr("Temperature"), self._temperature),
            (self.tr("Most tokens"), self._tokens),
        )
        for text, field in fields:
            label = QLabel(text)
            label.setBuddy(field)
            set_look(label, role="secondary")
            row.addWidget(label)
            row.addWidget(field)
            row.addSpacing(SPACE_M)
        row.addStretch(1)
        self._why = QLabel()
        set_look(self._why, role="secondary")
        row.addWidget(self._why)
        row.addWidget(self._stop)
        row.addWidget(self._send)
        return row

    def _connect(self) -> None:
        controller = self.controller
        controller.changed.connect(self._show)
        self._empty.primary_clicked.connect(self._on_choose_base)
        self._send.clicked.connect(controller.send)
        self._stop.clicked.connect(controller.stop)
        self._blind.toggled.connect(controller.set_blind)
        self._more.clicked.connect(controller.add_pane)
        self._fewer.clicked.connect(controller.remove_pane)
        self._save.clicked.connect(self._on_save)
        self.prompt.textChanged.connect(self._on_options)
        for field in (self._seed, self._temperature, self._tokens):
            field.valueChanged.connect(self._on_options)
        for pane in self.panes:
            pane.chosen.connect(controller.choose)
            pane.agreed.connect(controller.agree)
        self.prompt.sent.connect(controller.send)

    # Showing

    @Slot()
    def _show(self) -> None:
        state = self.controller.state
        any_model = any(pane.model is not None for pane in state.panes)
        self._stack.setCurrentIndex(1 if any_model else 0)
        for view in self.panes:
            is_there = view.number < len(state.panes)
            view.setVisible(is_there)
            if is_there:
                pane = state.panes[view.number]
                view.show_pane(state, pane, self.controller.base_bytes(view.number))
        why = self.controller.why_not()
        self._send.setEnabled(not why)
        self._send.setToolTip(why)
        self._why.setText("" if state.is_busy else why)
        self._stop.setEnabled(state.is_busy)
        self._more.setEnabled(any_model and len(state.panes) < MOST)
        self._fewer.setEnabled(any_model and len(state.panes) > LEAST and not state.is_busy)
        self._blind.setEnabled(any_model and not state.is_busy)
        self._blind.setText(self.tr("Reveal") if state.is_blind else self.tr("Blind"))
        self._save.setEnabled(any(pane.text for pane in state.panes) and not state.is_blind)

    # The window's questions

    @property
    def wants_inspector(self) -> bool:
        """The answers need the room."""
        return False

    def activate(self, payload: object = None) -> None:
        """Read which models there are; put in the panes what another page points at."""
        self.controller.show_in_front(True)
        if isinstance(payload, LibraryChoice):
            self.controller.want(payload.paths)

    def deactivate(self) -> None:
        """The model stays in memory; nothing else goes on."""
        self.controller.show_in_front(False)

    def focus_body(self) -> None:
        """Put the keyboard in the prompt, or on the button to press."""
        (self.prompt if self._stack.currentIndex() else self._empty.primary).setFocus()

    def escape(self) -> bool:
        """Stop the answers."""
        if self.controller.state.is_busy:
            self.controller.stop()
            return True
        return False

    def end(self) -> bool:
        """The engine of this page ends with the window."""
        return self.controller.end()

    # What was clicked

    @Slot()
    def _on_options(self) -> None:
        self.controller.set_options(
            prompt=self.prompt.toPlainText(),
            seed=self._seed.value(),
            temperature=self._temperature.value(),
            max_tokens=self._tokens.value(),
        )

    @Slot()
    def _on_choose_base(self) -> None:
        from deltaworks_gui.dialogs.choose_model import ChooseModelDialog

        dialog = ChooseModelDialog(
            self.tr("Pick a base to hold in memory"),
            self.controller.state.rows,
            self.window(),
            self.context.settings,
            first="Base",
        )
        dialog.chosen.connect(self._on_base)
        dialog.open()

    @Slot(object)
    def _on_base(self, rows: object) -> None:
        if isinstance(rows, list) and rows:
            self.controller.choose_base(rows[0])
            self.prompt.setFocus()

    @Slot()
    def _on_save(self) -> None:
        dialog = QFileDialog(self.window(), self.tr("Save comparison"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilters([self.tr("Text (*.md *.txt)")])
        dialog.setDefaultSuffix("md")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.save_comparison)
        dialog.open()

    @Slot(str)
    def save_comparison(self, path: str) -> None:
        """Write prompt and answers with the models' names and hashes."""
        try:
            Path(path).write_text(comparison_text(self.controller.state), "utf-8")
        except OSError as error:
            text = self.tr("{0}: {1}").format(path, error.strerror or str(error))
            self.context.navigator.banner("bad", text, key="playground", stays=True)
        else:
            self.context.navigator.status(self.tr("Saved: {0}").format(path))


class _Prompt(QPlainTextEdit):
    """Tab leaves it.

    Signals:
        sent: Ctrl+Return was pressed.
    """

    sent = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setTabChangesFocus(True)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ctrl+Return is for sending."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and (
            event.modifiers() & Qt.KeyboardModifier.ControlModifier
        ):
            self.sent.emit()
            return
        super().keyPressEvent(event)
