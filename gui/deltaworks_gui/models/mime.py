"""Dragged models: ids of library rows under a type of our own."""

from __future__ import annotations

import json
from collections.abc import Iterable

from PySide6.QtCore import QMimeData

MODELS_MIME = "application/x-deltaworks-models"
"""A JSON list of library row ids."""


def pack_ids(ids: Iterable[int]) -> QMimeData:
    """Make what a drag of these rows carries."""
    data = QMimeData()
    data.setData(MODELS_MIME, json.dumps(list(ids)).encode())
    return data


def unpack_ids(data: QMimeData) -> list[int]:
    """Ids of the dragged rows; none when something else is dragged."""
    if not data.hasFormat(MODELS_MIME):
        return []
    return [int(one) for one in json.loads(bytes(data.data(MODELS_MIME).data()))]
