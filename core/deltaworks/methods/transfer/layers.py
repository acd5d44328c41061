"""Which layers of a deeper model feed those of a shallower one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from deltaworks.errors import MismatchError
from deltaworks.numerics.seeds import rng_for

LayerMode = Literal["sensitivity", "first", "last", "random"]


def choose_layers(
    scores: Sequence[float], count: int, seed: int, mode: LayerMode = "sensitivity"
) -> list[int]:
    """Choose layers, in ascending order: the j-th feeds layer j.

    Args:
        scores: one a source layer.
        count: layers of the target.
        seed: of ``random``.
        mode: highest scores (the first of equals), first, last, or drawn.

    Raises:
        MismatchError: there are fewer than wanted.
    """
    if not 0 < count <= len(scores):
        raise MismatchError(
            f"{count} layers cannot be taken from {len(scores)}",
            fix="The source must be at least as deep as the target.",
        )
    if mode == "first":
        return list(range(count))
    if mode == "last":
        return list(range(len(scores) - count, len(scores)))
    if mode == "random":
        drawn = rng_for(seed, "layers").permutation(len(scores))[:count]
        return sorted(int(one) for one in drawn)
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")[:count]
    return sorted(int(one) for one in order)
