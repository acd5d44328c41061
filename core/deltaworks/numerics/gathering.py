"""What a mask keeps, taken out and put back.

Pieces of a mask become places first: indexing with places is twice as fast as with the
mask, and those of one piece stay in the cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.chunks import spans

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]

_PIECE = 1 << 16


def gather(values: Array, mask: Mask) -> Array:
    """Give the kept values in their order, like ``values[mask]``.

    Args:
        values: flat.
        mask: flat, as long.
    """
    kept = np.empty(np.count_nonzero(mask), dtype=values.dtype)
    start = 0
    for span in spans(len(mask), _PIECE):
        places = np.flatnonzero(mask[span])
        end = start + len(places)
        np.take(values[span], places, out=kept[start:end], mode="clip")
        start = end
    return kept


def scatter(kept: Array, mask: Mask, out: Array) -> None:
    """Put kept values back, like ``out[mask] = kept``.

    Args:
        kept: as many as the mask keeps.
        mask: flat.
        out: flat, as long as the mask; other entries stay as they are.
    """
    start = 0
    for span in spans(len(mask), _PIECE):
        places = np.flatnonzero(mask[span])
        end = start + len(places)
        out[span][places] = kept[start:end]
        start = end
