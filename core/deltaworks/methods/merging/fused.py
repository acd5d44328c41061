"""Sums of products with one rounding each, as processors with fused operations have them."""

from __future__ import annotations

import numpy as np

from deltaworks.numerics.stored import Floats


class FusedSum:
    """Adds ``weight * value`` to sums, rounded once to float32: torch's ``addcmul``.

    Args:
        size: of the longest piece.
    """

    def __init__(self, size: int) -> None:
        self._wide = np.empty(size)

    def add(self, total: Floats, values: Floats, weight: np.float32) -> None:
        """Add weighted values to a sum. Products of float32 numbers are exact in float64."""
        wide = self._wide[: len(total)]
        np.copyto(wide, values)
        np.multiply(wide, float(weight), out=wide)
        np.add(wide, total, out=wide)
        np.copyto(total, wide, casting="same_kind")
