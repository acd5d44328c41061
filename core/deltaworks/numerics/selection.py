"""The k largest magnitudes, exactly and without sorting.

Magnitudes of float32 numbers are compared as integers: the bits without the sign grow
with the magnitude. Equal magnitudes are kept from the lowest flat index on.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.chunks import CHUNK, spans

Floats = npt.NDArray[np.float32]
Keys = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

MAGNITUDE = np.int32(0x7FFFFFFF)
_SAMPLE = 1 << 15
_NOTHING = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the kept magnitudes end.

    Args:
        key: magnitudes with larger keys are kept, smaller ones are dropped.
        last: flat index of the last element with this very key that is kept; -1 for none.
    """

    key: int
    last: int


def kept_count(count: int, density: float) -> int:
    """Count what a density keeps: all but ``floor((1 - density) n)``, at least one of any.

    Args:
        count: elements n.
        density: share kept, 0 to 1.
    """
    if count == 0:
        return 0
    # Binary fractions: 0.07 * 100 is a little more than 7 and must stay 7.
    return min(count, max(1, int(np.ceil(density * count - 1e-6))))


def magnitude_cut(values: Floats, keep: int) -> Cut:
    """Find the cut that keeps exactly ``keep`` elements.

    A sample brackets the cut, one pass counts above the bracket and collects what lies
    inside; only that is partitioned. A bracket that missed costs a full partition.

    Args:
        values: flat, without NaN; read only.
        keep: how many, 0 to their count.
    """
    if keep >= len(values):
        return Cut(-1, -1)
    if keep <= 0:
        return Cut(_NOTHING, -1)
    low, high = _bracket(values, keep)
    above, inside = _inside(values, low, high)
    wanted = keep - above
    if not 0 < wanted <= len(inside):
        above, inside = 0, np.bitwise_and(values.view(np.int32), MAGNITUDE)
        wanted = keep
    place = len(inside) - wanted
    key = int(np.partition(inside, place)[place])
    above += int(np.count_nonzero(inside > key))
    return Cut(key, _last_equal(values, key, keep - above))


def _bracket(values: Floats, keep: int) -> tuple[int, int]:
    """Bracket the cut by six standard errors of its rank in a strided sample."""
    step = max(1, len(values) // _SAMPLE)
    sample = np.sort(np.bitwise_and(values[::step].view(np.int32), MAGNITUDE))
    size = len(sample)
    share = 1.0 - keep / len(values)
    slack = 6.0 * sqrt(share * (1.0 - share) * size) + 2.0
    first, last = int(share * size - slack), int(share * size + slack)
    low = int(sample[first]) if first >= 0 else 0
    high = int(sample[last]) if last < size else _NOTHING
    return low, high


def _inside(values: Floats, low: int, high: int) -> tuple[int, Keys]:
    """Count keys above ``high``; collect those from ``low`` to ``high``."""
    above = 0
    found: list[Keys] = []
    for span in spans(len(values), CHUNK // 2):
        keys = np.bitwise_and(values[span].view(np.int32), MAGNITUDE)
        over = keys > high
        above += int(np.count_nonzero(over))
        # Unsigned distance: one comparison for both ends.
        np.subtract(keys, np.int32(low), out=keys)
        near = keys.view(np.uint32) <= np.uint32(high - low)
        # Twice as fast as indexing with the mask.
        found.append(keys[np.flatnonzero(near)])
    inside = np.concatenate(found)
    inside += np.int32(low)
    return above, inside


def _last_equal(values: Floats, key: int, wanted: int) -> int:
    """Find the flat index of the ``wanted``-th element with this key."""
    for span in spans(len(values)):
        equal = np.bitwise_and(values[span].view(np.int32), MAGNITUDE) == key
        here = int(np.count_nonzero(equal))
        if here >= wanted:
            place: int = span.start + int(np.flatnonzero(equal)[wanted - 1])
            return place
        wanted -= here
    raise AssertionError("fewer equal keys than counted")


def keep_mask(values: Floats, cut: Cut, start: int = 0) -> Mask:
    """Say which elements a cut keeps.

    Args:
        values: flat, or a piece of the flat array.
        cut: of the whole array.
        start: flat index of the first element of the piece.
    """
    keys = np.bitwise_and(values.view(np.int32), MAGNITUDE)
    n_equal = min(max(cut.last + 1 - start, 0), len(keys))
    mask = np.empty(len(keys), dtype=np.bool_)
    np.greater_equal(keys[:n_equal], cut.key, out=mask[:n_equal])
    np.greater(keys[n_equal:], cut.key, out=mask[n_equal:])
    return mask
