"""What the user can take back: one stack for the whole window."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QUndoCommand, QUndoStack

STEPS = 100
"""Acts that are remembered."""


class Act(QUndoCommand):
    """One act, done when it is pushed.

    Args:
        text: names it, as in ``Undo {text}``.
        do: does it, the first time and again.
        undo: takes it back.
    """

    def __init__(self, text: str, do: Callable[[], object], undo: Callable[[], object]) -> None:
        super().__init__(text)
        self._do = do
        self._undo = undo

    def redo(self) -> None:
        """Do it; called by the stack."""
        self._do()

    def undo(self) -> None:
        """Take it back; called by the stack."""
        self._undo()


def make_stack() -> QUndoStack:
    """An empty stack."""
    stack = QUndoStack()
    stack.setUndoLimit(STEPS)
    return stack
