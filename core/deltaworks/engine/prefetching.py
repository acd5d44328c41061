"""Reading ahead."""

from __future__ import annotations

from typing import Any

import numpy as np

Words = np.ndarray[Any, Any]

_PAGE = 4096


def prefetch(words: Words) -> Words:
    """Touch every page of a mapped tensor, so that workers do not wait for the disk."""
    raw = np.ascontiguousarray(words).reshape(-1).view(np.uint8)
    raw[::_PAGE].max(initial=0)
    return words
