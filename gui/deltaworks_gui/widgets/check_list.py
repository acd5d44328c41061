"""What was looked at before a job: what is in the way first, what fits in one line."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QVBoxLayout, QWidget

from deltaworks.engine.plan_types import Check
from deltaworks_gui.theme import SPACE_S
from deltaworks_gui.widgets.card import caption
from deltaworks_gui.widgets.state_cell import StateLabel

_STATES = {"fault": "bad", "warning": "warn", "note": "info"}
_MOST = 6
"""Lines at most; the others are in the last one's tooltip."""


class CheckList(QWidget):
    """Faults, warnings and notes, a line each; then how many checks passed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("CheckList")
        self.setAccessibleName(self.tr("Checked before"))
        self.lines: list[StateLabel] = []
        self._checks: tuple[Check, ...] = ()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(SPACE_S - 2)
        self._column.addWidget(caption(self.tr("Checked before")))

    def show_checks(self, checks: Sequence[Check]) -> None:
        """Show these; nothing at all when there are none."""
        self.setVisible(bool(checks))
        if tuple(checks) == self._checks:
            return
        self._checks = tuple(checks)
        for line in self.lines:
            self._column.removeWidget(line)
            line.hide()
            line.deleteLater()
        self.lines = []
        found = [check for level in _STATES for check in checks if check.level == level]
        for check in found[:_MOST]:
            self._add(_STATES[check.level], check.text, check.subject)
        if rest := found[_MOST:]:
            text = self.tr("and {0} more").format(len(rest))
            self._add("info", text, "\n".join(check.text for check in rest))
        if passed := [check for check in checks if check.level == "ok"]:
            text = self.tr("{0} checks passed").format(len(passed))
            if len(passed) == 1:
                text = passed[0].text
            self._add("good", text, "\n".join(check.text for check in passed))

    def _add(self, state: str, text: str, tip: str) -> None:
        line = StateLabel(state, text, wrap=True)
        line.setToolTip(tip)
        line.setAccessibleDescription(tip)
        self._column.addWidget(line)
        self.lines.append(line)
