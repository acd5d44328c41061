"""A row of segments of which exactly one is chosen."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QSizePolicy, QToolButton, QWidget

from deltaworks_gui.theme import LINE, current_theme, set_look


class SegmentedControl(QWidget):
    """An exclusive choice, all of it in sight. Arrow keys move, Tab enters and leaves.

    Args:
        segments: pairs of id and text, in reading order; the first is chosen.
        object_name: its objectName; a segment's is ``{object_name}_{id}``.
        accessible_name: what is chosen here.

    Signals:
        chosen: the id of the segment that is chosen now.
    """

    chosen = Signal(str)

    def __init__(
        self,
        segments: Sequence[tuple[str, str]],
        *,
        object_name: str = "",
        accessible_name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName(object_name)
        self.setAccessibleName(accessible_name)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self._ids = [segment_id for segment_id, _ in segments]
        self._group = QButtonGroup(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(LINE, LINE, LINE, LINE)
        row.setSpacing(0)
        for index, (segment_id, text) in enumerate(segments):
            button = self._make(segment_id, text, _place(index, len(segments)))
            self._group.addButton(button, index)
            row.addWidget(button)
        set_look(self, surface="segments")
        current_theme().changed.connect(self._fit)
        self._fit()
        self._group.idToggled.connect(self._on_toggled)
        if segments:
            self._group.button(0).setChecked(True)

    @property
    def current(self) -> str:
        """The id of the chosen segment, or nothing when there are none."""
        index = self._group.checkedId()
        return self._ids[index] if index >= 0 else ""

    def choose(self, segment_id: str) -> None:
        """Choose a segment; emits ``chosen`` when it is another one.

        Raises:
            ValueError: there is no such segment.
        """
        self._group.button(self._ids.index(segment_id)).setChecked(True)

    def set_segment_enabled(self, segment_id: str, enabled: bool, reason: str = "") -> None:
        """Allow or refuse a segment; ``reason`` is its tooltip while refused."""
        button = self._group.button(self._ids.index(segment_id))
        button.setEnabled(enabled)
        button.setToolTip("" if enabled else reason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows, Home and End move the choice."""
        step = self._step(event.key())
        if step is None:
            super().keyPressEvent(event)
            return
        start, by = step
        index = start
        while 0 <= index < len(self._ids):
            button = self._group.button(index)
            if button.isEnabled():
                button.setChecked(True)
                button.setFocus(Qt.FocusReason.TabFocusReason)
                break
            index += by

    def _step(self, key: int) -> tuple[int, int] | None:
        """Where a key leads: first place to try, and on in which direction."""
        at = self._group.checkedId()
        forward, back = (at + 1, 1), (at - 1, -1)
        if self.isRightToLeft():
            forward, back = back, forward
        return {
            Qt.Key.Key_Right: forward,
            Qt.Key.Key_Down: (at + 1, 1),
            Qt.Key.Key_Left: back,
            Qt.Key.Key_Up: (at - 1, -1),
            Qt.Key.Key_Home: (0, 1),
            Qt.Key.Key_End: (len(self._ids) - 1, -1),
        }.get(Qt.Key(key))

    def _make(self, segment_id: str, text: str, place: str) -> QToolButton:
        button = _Segment()
        button.setText(text)
        button.setCheckable(True)
        button.setAccessibleName(text.replace("&", ""))
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        if self.objectName():
            button.setObjectName(f"{self.objectName()}_{segment_id}")
        set_look(button, segment=place)
        return button

    def _fit(self) -> None:
        self.setFixedHeight(current_theme().metrics.control)

    def _on_toggled(self, index: int, checked: bool) -> None:
        # Only the chosen segment takes part in the tab order, as with radio buttons.
        policy = Qt.FocusPolicy.StrongFocus if checked else Qt.FocusPolicy.NoFocus
        self._group.button(index).setFocusPolicy(policy)
        if checked:
            self.setFocusProxy(self._group.button(index))
            self.chosen.emit(self._ids[index])


class _Segment(QToolButton):
    """Leaves the arrow keys to the control around it."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        arrows = (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Down)
        if event.key() in arrows:
            event.ignore()
            return
        super().keyPressEvent(event)


def _place(index: int, count: int) -> str:
    if count == 1:
        return "only"
    return {0: "first", count - 1: "last"}.get(index, "middle")
