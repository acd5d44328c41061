"""Whether models belong to one family: how far each is from the base, and in which direction.

Source: VisionFuse, arXiv:2412.01289, by its abstract and its reviews; the two thresholds
are ours (0.2 of the base's norm, a ratio of 5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from deltaworks.methods.fusion.visionfuse import VisionFuseOptions

    Floats = np.ndarray[Any, Any]

_PIECE = 1 << 18
"""Numbers of a tensor that are looked at together: their float64 copies stay in the cache."""


@dataclass(frozen=True, slots=True)
class Products:
    """Inner products of one tensor's base and deltas, or sums of them over tensors.

    Args:
        base: squared norm of the base.
        deltas: inner products of the deltas, row by row; symmetric.
    """

    base: float
    deltas: tuple[tuple[float, ...], ...]

    def __add__(self, other: Products) -> Products:
        """Sum over two tensors."""
        rows = zip(self.deltas, other.deltas, strict=True)
        summed = tuple(tuple(a + b for a, b in zip(*pair, strict=True)) for pair in rows)
        return Products(self.base + other.base, summed)

    def norm(self, model: int) -> float:
        """Give the norm of a model's delta as a fraction of the base's."""
        own = math.sqrt(self.deltas[model][model])
        if own == 0.0:
            return 0.0
        return own / math.sqrt(self.base) if self.base else math.inf

    def cosine(self, one: int, other: int) -> float:
        """Give the cosine between two deltas; 0 where one of them is zero."""
        size = math.sqrt(self.deltas[one][one] * self.deltas[other][other])
        return self.deltas[one][other] / size if size else 0.0


def products_of(base: Floats, tuned: Sequence[Floats]) -> Products:
    """Measure one tensor in float64.

    Args:
        base: float32, any shape.
        tuned: the same tensor of each model, of that shape.
    """
    import numpy as np

    flat, others = base.reshape(-1), [one.reshape(-1) for one in tuned]
    energy, gram = 0.0, np.zeros((len(tuned), len(tuned)))
    for start in range(0, len(flat), _PIECE):
        piece = slice(start, start + _PIECE)
        ours = flat[piece].astype(np.float64)
        deltas = np.stack([one[piece].astype(np.float64) - ours for one in others])
        energy += float(ours @ ours)
        gram += deltas @ deltas.T
    return Products(energy, tuple(tuple(row) for row in gram.tolist()))


@dataclass(frozen=True, slots=True)
class FamilyCheck:
    """What was found of all models of a fusion.

    Args:
        labels: of the models, for people.
        norms: of each delta, as a fraction of the base's norm.
        cosines: between the deltas, row by row.
        layers: norms by layer, one row a layer; for the plot.
        warnings: one sentence each; empty when nothing speaks against the fusion.
    """

    labels: tuple[str, ...]
    norms: tuple[float, ...]
    cosines: tuple[tuple[float, ...], ...]
    layers: tuple[tuple[float, ...], ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Give plain data for reports."""
        return {
            "labels": list(self.labels),
            "norms": list(self.norms),
            "cosines": [list(row) for row in self.cosines],
            "layers": [list(row) for row in self.layers],
            "warnings": list(self.warnings),
        }


def check_family(
    labels: Sequence[str],
    found: Mapping[int | None, Products],
    options: VisionFuseOptions,
) -> FamilyCheck:
    """Judge what was measured.

    Args:
        labels: of the models, in the order of the deltas.
        found: sums over the tensors of each layer; None for those outside of layers.
        options: thresholds of the warnings.
    """
    whole = _summed(list(found.values()))
    models = range(len(labels))
    norms = tuple(whole.norm(model) for model in models)
    layers = sorted(layer for layer in found if layer is not None)
    return FamilyCheck(
        tuple(labels),
        norms,
        tuple(tuple(whole.cosine(one, other) for other in models) for one in models),
        tuple(tuple(found[layer].norm(model) for model in models) for layer in layers),
        tuple(warnings_of(labels, norms, options)),
    )


def warnings_of(
    labels: Sequence[str], norms: Sequence[float], options: VisionFuseOptions
) -> list[str]:
    """Say which changes are too large for a merge, or too unlike in size."""
    told = [
        f"{label} differs from the base by {norm:.3g} of its norm, more than "
        f"{options.largest_norm:g}: models that far away lose when they are merged."
        for label, norm in zip(labels, norms, strict=True)
        if norm > options.largest_norm
    ]
    low, high = min(norms), max(norms)
    if high > options.largest_ratio * low:
        ratio = f"{high / low:.1f} times" if low else "unlike"
        told.append(
            f"The change of {labels[norms.index(high)]} is {ratio} that of "
            f"{labels[norms.index(low)]}, more than {options.largest_ratio:g} times: "
            "the larger one rules the merge."
        )
    return told


def _summed(found: Sequence[Products]) -> Products:
    total = found[0]
    for one in found[1:]:
        total = total + one
    return total
