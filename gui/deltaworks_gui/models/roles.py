"""Roles that every model of the window answers to."""

from __future__ import annotations

from enum import IntEnum

from PySide6.QtCore import Qt


class ModelRole(IntEnum):
    """Beside Qt's own roles and the delegates' ``PaintRole``."""

    ID = Qt.ItemDataRole.UserRole + 0x100
    """Stable id of the row."""
    SORT = Qt.ItemDataRole.UserRole + 0x101
    """Raw value to sort by; None is unknown."""
    STATE = Qt.ItemDataRole.UserRole + 0x102
    """State, as an id without spaces."""
