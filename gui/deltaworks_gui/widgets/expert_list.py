"""The experts of a job: one card each, with the guard under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from deltaworks.options import OptionInfo
from deltaworks_gui.theme import SPACE_S, set_look
from deltaworks_gui.widgets.buttons import make_button
from deltaworks_gui.widgets.card import rule
from deltaworks_gui.widgets.guard_bar import GuardBar, GuardLook
from deltaworks_gui.widgets.model_slot import DropCard, ModelLine
from deltaworks_gui.widgets.option_fields import ValueField, make_field
from deltaworks_gui.widgets.option_values import value_fault


@dataclass(frozen=True, slots=True)
class ExpertLook:
    """What one card shows.

    Args:
        name: of the model.
        under: size and state; ``tone`` colours it.
        path: for the tooltip.
        is_on: whether it takes part.
        guard: None without a base.
        infos: options that the expert has for itself; ``options`` their values.
    """

    name: str
    under: str
    path: str
    is_on: bool
    guard: GuardLook | None
    infos: tuple[OptionInfo, ...] = ()
    options: Mapping[str, Any] | None = None
    tone: str = ""


class ExpertCard(DropCard):
    """One expert.

    Signals:
        asked: id of a menu entry.  enabled_toggled: the tick.
        option_edited: (name, value).
        use_better, anyway_toggled: of the guard.
    """

    asked = Signal(str)
    enabled_toggled = Signal(bool)
    option_edited = Signal(str, object)
    use_better = Signal()
    anyway_toggled = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._infos: tuple[OptionInfo, ...] | None = None
        self._fields: dict[str, ValueField] = {}
        self._shown: list[QWidget] = []
        self._caption = QLabel()
        set_look(self._caption, role="caption")
        self.check = QCheckBox()
        self.check.setToolTip(self.tr("Takes part"))
        top = QHBoxLayout()
        top.addWidget(self._caption, 1)
        top.addWidget(self.check)
        self.line = ModelLine("expert")
        self._options = QWidget()
        self._grid = QGridLayout(self._options)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(SPACE_S)
        self._grid.setColumnStretch(1, 1)
        self._rule = rule()
        self.guard = GuardBar()
        self.body.addLayout(top)
        for widget in (self.line, self._options, self._rule, self.guard):
            self.body.addWidget(widget)
        self.check.toggled.connect(self.enabled_toggled)
        self.line.asked.connect(self.asked)
        self.guard.use_better.connect(self.use_better)
        self.guard.anyway_toggled.connect(self.anyway_toggled)

    def show_look(self, look: ExpertLook, place: int, count: int) -> None:
        """Show an expert at its place among so many."""
        self.setObjectName(f"Expert_{place}")
        self.setAccessibleName(look.name)
        self._caption.setText(self.tr("Expert {0}").format(place + 1))
        blocked = self.check.blockSignals(True)
        self.check.setChecked(look.is_on)
        self.check.blockSignals(blocked)
        self.check.setAccessibleName(self.tr("{0} takes part").format(look.name))
        self.line.show_model(look.name, look.under, look.path, look.tone)
        self.line.setEnabled(True)
        self.line.set_menu(
            [
                ("up", self.tr("Move up"), place > 0),
                ("down", self.tr("Move down"), place < count - 1),
                ("base", self.tr("Use as base"), True),
                ("remove", self.tr("Remove"), True),
            ]
        )
        self._show_options(look)
        self._rule.setVisible(look.guard is not None and look.is_on)
        self.guard.setVisible(look.guard is not None and look.is_on)
        if look.guard is not None:
            self.guard.show_look(look.guard, look.name)

    def stops(self) -> list[QWidget]:
        """Where Tab stops, in order."""
        fields = [stop for field in self._fields.values() for stop in field.stops()]
        return [self.check, self.line.more, *fields, *self.guard.stops()]

    def _show_options(self, look: ExpertLook) -> None:
        if look.infos != self._infos:
            self._build_options(look.infos)
        values = look.options or {}
        for info in look.infos:
            value = values.get(info.name, info.default)
            field = self._fields[info.name]
            field.show_value(value)
            fault = value_fault(info, value)
            field.show_invalid(bool(fault))
            field.setToolTip(fault or info.help)
            field.entry.setAccessibleName(f"{info.title}, {look.name}")
        self._options.setVisible(bool(look.infos) and look.is_on)

    def _build_options(self, infos: tuple[OptionInfo, ...]) -> None:
        self._infos = infos
        for widget in self._shown:
            self._grid.removeWidget(widget)
            widget.hide()
            widget.deleteLater()
        self._fields, self._shown = {}, []
        for place, info in enumerate(infos):
            label, field = QLabel(info.title), make_field(info, compact=True)
            set_look(label, role="fact")
            label.setBuddy(field.entry)
            field.edited.connect(self._on_edited)
            self._grid.addWidget(label, place, 0)
            self._grid.addWidget(field, place, 1)
            self._shown += [label, field]
            self._fields[info.name] = field

    def _on_edited(self, value: object) -> None:
        field = self.sender()
        if isinstance(field, ValueField):
            self.option_edited.emit(field.info.name, value)


class ExpertList(QWidget):
    """All experts and the way to add one.

    Signals:
        add_asked: the user wants the list of models.
        asked: (place, id of a menu entry).  enabled_toggled: (place, on).
        option_edited: (place, name, value).
        use_better: place.  anyway_toggled: (place, on).
        ids_dropped, paths_dropped: as of a ``DropCard``.
    """

    add_asked = Signal()
    asked = Signal(int, str)
    enabled_toggled = Signal(int, bool)
    option_edited = Signal(int, str, object)
    use_better = Signal(int)
    anyway_toggled = Signal(int, bool)
    ids_dropped = Signal(object)
    paths_dropped = Signal(object)

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("ExpertList")
        self.setAccessibleName(title.replace("&", ""))
        self.cards: list[ExpertCard] = []
        self._label = QLabel(title)
        set_look(self._label, role="caption")
        self._add = make_button(self.tr("Add expert"), "dashed", icon="plus", name="btn_add_expert")
        self._add.clicked.connect(self.add_asked)
        # A button as buddy would be pressed by the mnemonic; through the list it is only reached.
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._label.setBuddy(self)
        self._inner = QVBoxLayout()
        self._inner.setSpacing(SPACE_S + 2)
        self._drop = DropCard()
        self._drop.set_surface("drop")
        invitation = QLabel(self.tr("Drop fine-tuned models here."))
        invitation.setWordWrap(True)
        set_look(invitation, role="hint")
        self._drop.add(invitation)
        self._hear_drops(self._drop)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_S + 2)
        column.addWidget(self._label)
        column.addLayout(self._inner)
        column.addWidget(self._drop)
        column.addWidget(self._add)

    def set_title(self, title: str) -> None:
        """Show another caption."""
        if title != self._label.text():
            self._label.setText(title)
            self.setAccessibleName(title.replace("&", ""))

    def show_looks(self, looks: Sequence[ExpertLook]) -> None:
        """Show these experts; cards that stay keep their place in the tab order."""
        while len(self.cards) > len(looks):
            card = self.cards.pop()
            self._inner.removeWidget(card)
            card.hide()
            card.deleteLater()
        while len(self.cards) < len(looks):
            self._add_card()
        for place, (card, look) in enumerate(zip(self.cards, looks, strict=True)):
            card.show_look(look, place, len(looks))
        self._drop.setVisible(not looks)
        self.setFocusProxy(self.cards[0].check if self.cards else self._add)

    def stops(self) -> list[QWidget]:
        """Where Tab stops, in order."""
        return [*(stop for card in self.cards for stop in card.stops()), self._add]

    def _add_card(self) -> None:
        card = ExpertCard()
        self._hear_drops(card)
        card.asked.connect(self._on_asked)
        card.enabled_toggled.connect(self._on_enabled)
        card.option_edited.connect(self._on_option)
        card.use_better.connect(self._on_better)
        card.anyway_toggled.connect(self._on_anyway)
        self._inner.addWidget(card)
        self.cards.append(card)
        card.show()

    def _hear_drops(self, card: DropCard) -> None:
        card.ids_dropped.connect(self.ids_dropped)
        card.paths_dropped.connect(self.paths_dropped)

    def _place(self) -> int:
        card = self.sender()
        assert isinstance(card, ExpertCard)
        return self.cards.index(card)

    def _on_asked(self, entry: str) -> None:
        self.asked.emit(self._place(), entry)

    def _on_enabled(self, on: bool) -> None:
        self.enabled_toggled.emit(self._place(), on)

    def _on_option(self, name: str, value: object) -> None:
        self.option_edited.emit(self._place(), name, value)

    def _on_better(self) -> None:
        self.use_better.emit(self._place())

    def _on_anyway(self, on: bool) -> None:
        self.anyway_toggled.emit(self._place(), on)
