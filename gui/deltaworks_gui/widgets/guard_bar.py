"""Under an expert: does it belong to the base, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from deltaworks_gui.theme import SPACE_M, SPACE_XS, set_look
from deltaworks_gui.widgets.buttons import link_button
from deltaworks_gui.widgets.state_cell import StateLabel


@dataclass(frozen=True, slots=True)
class GuardLook:
    """What the bar shows.

    Args:
        level: id of its state: ``checking``, ``match``, ``likely``, ``doubtful``, ``mismatch``.
        text: word and evidence.
        details: lines under it, such as tensors that do not fit.
        better: name of a base that fits better; empty when none is known.
        asks_anyway: whether the user must tick ``Run anyway``.
        anyway: whether it is ticked.
        tip: all evidence.
    """

    level: str
    text: str
    details: Sequence[str] = ()
    better: str = ""
    asks_anyway: bool = False
    anyway: bool = False
    tip: str = ""


class GuardBar(QWidget):
    """The guard of one expert.

    Signals:
        use_better: take the base that fits better.
        anyway_toggled: the tick of ``Run anyway``.
    """

    use_better = Signal()
    anyway_toggled = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("GuardBar")
        self._look: GuardLook | None = None
        self._state = StateLabel(wrap=True)
        self._details = QLabel()
        self._details.setWordWrap(True)
        self._details.setObjectName("guard_details")
        set_look(self._details, role="secondary")
        self._use = link_button(self.tr("Use it"), name="btn_use_better", tone="warn")
        self._anyway = QCheckBox(self.tr("Run anyway"))
        self._anyway.setObjectName("chk_run_anyway")
        self._act = QWidget()
        row = QHBoxLayout(self._act)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_M)
        row.addWidget(self._anyway)
        row.addStretch(1)
        row.addWidget(self._use)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_XS)
        column.addWidget(self._state)
        column.addWidget(self._details)
        column.addWidget(self._act)
        self._use.clicked.connect(self.use_better)
        self._anyway.toggled.connect(self.anyway_toggled)

    @property
    def level(self) -> str:
        """The level shown."""
        return self._look.level if self._look else ""

    @property
    def text(self) -> str:
        """Word and evidence as shown."""
        return self._state.text

    def stops(self) -> list[QWidget]:
        """Where Tab stops, in order."""
        return [self._anyway, self._use]

    def show_look(self, look: GuardLook, who: str) -> None:
        """Show a level; another one than before is told to screen readers.

        Args:
            look: what to show.
            who: name of the expert, for accessible names.
        """
        before, self._look = self._look, look
        if look == before:
            return
        self._state.show_state(look.level, look.text, look.tip or look.text)
        self._details.setText("\n".join(look.details))
        self._details.setVisible(bool(look.details))
        self._use.setVisible(bool(look.better))
        self._use.setText(self.tr("Use it"))
        self._use.setToolTip(self.tr("Take {0} as base").format(look.better))
        self._use.setAccessibleName(self.tr("Use {0} as base").format(look.better or "—"))
        blocked = self._anyway.blockSignals(True)
        self._anyway.setChecked(look.anyway)
        self._anyway.blockSignals(blocked)
        self._anyway.setVisible(look.asks_anyway)
        self._anyway.setAccessibleName(self.tr("Run {0} anyway").format(who))
        self._act.setVisible(look.asks_anyway or bool(look.better))
        if before is not None and before.level != look.level:
            told = QAccessibleAnnouncementEvent(self, f"{who}: {look.text}")
            QAccessible.updateAccessibility(told)
