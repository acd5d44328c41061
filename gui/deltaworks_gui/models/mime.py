"""How rows travel by drag and drop inside the window."""

from __future__ import annotations

import json
from collections.abc import Iterable

from PySide6.QtCore import QByteArray, QMimeData

MODELS = "application/x-deltaworks-models"
"""A JSON list of the ids of library rows."""


def put_models(data: QMimeData, ids: Iterable[int]) -> None:
    """Write ids of rows into a drag."""
    data.setData(MODELS, QByteArray(json.dumps(list(ids)).encode()))


def model_ids(data: QMimeData) -> list[int]:
    """The ids of rows in a drag; empty when there are none or they cannot be read."""
    if not data.hasFormat(MODELS):
        return []
    try:
        found = json.loads(bytes(data.data(MODELS).data()))
    except ValueError:
        return []
    if not isinstance(found, list):
        return []
    return [one for one in found if isinstance(one, int) and not isinstance(one, bool)]
