"""The way of the Tab key, set explicitly: as the eye reads, which is as layouts are filled."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLayout, QScrollArea, QWidget


def in_reading_order(widget: QWidget) -> Iterator[QWidget]:
    """Everything below a widget that Tab can reach, shown now or not."""
    layout = widget.layout()
    if isinstance(widget, QScrollArea):
        inner = widget.widget()
        if inner is not None:
            yield from in_reading_order(inner)
    elif layout is not None:
        yield from _in_layout(layout)
    elif widget.focusPolicy().value & Qt.FocusPolicy.TabFocus.value:
        yield widget


def set_reading_order(*parts: QWidget) -> None:
    """Let Tab go through these parts, one after the other, each in reading order."""
    chain = [widget for part in parts for widget in in_reading_order(part)]
    for one, other in pairwise(chain):
        QWidget.setTabOrder(one, other)


def _in_layout(layout: QLayout) -> Iterator[QWidget]:
    for place in range(layout.count()):
        item = layout.itemAt(place)
        if item is None:
            continue
        widget, inner = item.widget(), item.layout()
        if widget is not None:
            yield from in_reading_order(widget)
        elif inner is not None:
            yield from _in_layout(inner)
