"""Two models, compared number by number."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deltaworks.checkpoints import open_checkpoint
from deltaworks.numerics.words import to_float32


def compare(one: Path, other: Path) -> str:
    """Say in a few words whether two models hold the same bits."""
    differ = total = 0
    farthest = 0.0
    with open_checkpoint(one) as left, open_checkpoint(other) as right:
        if set(left.names) != set(right.names):
            return "other tensors"
        for name in left.names:
            mine, theirs = left.info(name), right.info(name)
            if (mine.shape, mine.dtype) != (theirs.shape, theirs.dtype):
                return f"{name} has another shape or type"
            a, b = left.read_words(name).reshape(-1), right.read_words(name).reshape(-1)
            places = np.flatnonzero(a != b)
            total += len(a)
            differ += len(places)
            if len(places):
                gap = to_float32(a[places], mine.dtype) - to_float32(b[places], mine.dtype)
                farthest = max(farthest, float(np.abs(gap).max()))
    if not differ:
        return f"identical bits, {total:,} numbers"
    return f"{differ / total:.2g} of the numbers differ, by {farthest:.2g} at most"
