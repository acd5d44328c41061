"""Entries of singular vectors in few bits, errors made good by means of a layer's inputs.

Source: Delta-CoMe (arXiv:2406.08903) and ImPart-Qt (arXiv:2504.13237), from the authors'
code: V is rounded first, for the inputs x; then U, for what the rounded V makes of them.
Masked entries stay 0 and take no part. Departures: all classes of U are rounded in one
pass, so that later ones make good what earlier ones spoil; grids are those that
``rank_codes`` fits, so that the file is the same but for its codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deltaworks.methods.compression.calibrated import factors_for, grams_for
from deltaworks.methods.compression.rank_codes import by_class
from deltaworks.methods.compression.triples import VECTOR_UNIT, Kept, Masks
from deltaworks.numerics.factors import upper_factor
from deltaworks.numerics.gptq import round_columns
from deltaworks.numerics.grids import fit_grids
from deltaworks.numerics.packing import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from deltaworks.methods.compression.calibrated import Ordered
    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.numerics.matrices import Stack

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Second moments of a layer's inputs, and U of each matrix of a stack.

    Args:
        grams: ``(in, in)`` each.
        factors: of them.
        damping: share of the mean diagonal, for what V makes of the inputs.
    """

    grams: Sequence[Tensor]
    factors: Sequence[Ordered]
    damping: float


def inputs_for(
    pair: TensorPair, stack: Stack, *, calibrated: bool, damping: float
) -> Inputs | None:
    """Give the inputs of a pair's layer; None without a text, or when none are wanted."""
    grams = grams_for(pair, stack, calibrated=calibrated)
    factors = factors_for(pair, stack, calibrated=calibrated, damping=damping)
    return None if grams is None or factors is None else Inputs(grams, factors, damping)


@dataclass(frozen=True, slots=True)
class _Ruled:
    """The grid of every entry of one factor, flat: step, code of zero, largest code."""

    scale: Floats
    zero: Floats
    top: Floats


class _OnGrids:
    """Rounds columns to grids that every entry has for itself."""

    def __init__(self, scale: Tensor, zero: Tensor, top: Tensor) -> None:
        import torch

        self._scale, self._zero, self._top = scale, zero, top
        self.codes = torch.zeros(scale.shape)

    def begin(self, start: int, columns: Tensor, diagonal: Tensor) -> None:
        """Do nothing: grids are there before."""

    def round(self, column: int, values: Tensor) -> Tensor:
        """Round a column."""
        scale, zero = self._scale[:, column], self._zero[:, column]
        codes = (values / scale.where(scale != 0, 1.0)).round_().add_(zero)
        codes = codes.clamp_(min=0.0).minimum(self._top[:, column])
        self.codes[:, column] = codes
        return (codes - zero) * scale


def code_factors(
    left: Floats,
    right: Floats,
    scales: Floats,
    kept: Kept,
    masks: Masks,
    inputs: Inputs,
    group_size: int,
) -> Parts:
    """Code the entries of U and V; parts as ``rank_codes.code_vectors`` gives them.

    Args:
        left: kept entries of U, as ``triples.survivors`` gives them.
        right: likewise of V.
        scales: of all triples.
        kept: how much is kept.
        masks: what is kept.
        inputs: of the layer.
        group_size: entries of a vector that share a grid.
    """
    parts: Parts = {}
    rules: list[_Ruled] = []
    for name, values, counts in (("U", left, kept.left), ("V", right, kept.right)):
        rules.append(_ruled(name, values, counts, kept, group_size, parts))
    codes: tuple[list[Floats], list[Floats]] = ([], [])
    at = [0, 0]
    for number, span in enumerate(kept.spans):
        sides = []
        for side, (values, mask) in enumerate(
            ((left, masks.left[number]), (right, masks.right[number]))
        ):
            mine = slice(at[side], at[side] + int(np.count_nonzero(mask)))
            at[side] = mine.stop
            rule = rules[side]
            arrays = (values, rule.scale, rule.zero, rule.top)
            sides.append([_dense(one[mine], mask) for one in arrays])
        gram = inputs.grams[number % len(inputs.grams)]
        upper = inputs.factors[number % len(inputs.factors)].factor.upper
        strengths = _tensor(scales[span])
        if not len(strengths):
            continue
        mask_left, mask_right = (_bools(one[number]) for one in (masks.left, masks.right))
        on_right = _OnGrids(*sides[1][1:])
        vectors = round_columns(sides[1][0], upper, on_right, mask=mask_right)
        seen = vectors * VECTOR_UNIT * strengths[:, None]
        below = upper_factor(seen @ gram @ seen.T, damping=inputs.damping).upper
        on_left = _OnGrids(*(one.T for one in sides[0][1:]))
        round_columns(sides[0][0].T, below, on_left, mask=mask_left.T)
        codes[0].append(on_left.codes.T.numpy()[masks.left[number]])
        codes[1].append(on_right.codes.numpy()[masks.right[number]])
    nothing = np.zeros(0, dtype=np.float32)
    for name, counts, found in (("U", kept.left, codes[0]), ("V", kept.right, codes[1])):
        flat = np.concatenate([nothing, *found]).astype(np.uint16)
        for bits, _, of_entries, _ in by_class(counts, kept, group_size):
            parts[f"{name}{bits}"] = pack(flat[of_entries][None, :], bits)[0]
    return parts


def _ruled(
    name: str,
    values: Floats,
    counts: npt.NDArray[np.int32],
    kept: Kept,
    group_size: int,
    parts: Parts,
) -> _Ruled:
    """Fit the grids of a factor, and add them to the parts."""
    scale, zero, top = np.zeros((3, len(values)), dtype=np.float32)
    for bits, _, of_entries, lengths in by_class(counts, kept, group_size):
        grids = fit_grids(values[of_entries], lengths, bits)
        scale[of_entries] = np.repeat(grids.scale.astype(np.float32), lengths)
        zero[of_entries] = np.repeat(grids.zero.astype(np.float32), lengths)
        top[of_entries] = (1 << bits) - 1
        parts[f"{name}{bits}_s"], parts[f"{name}{bits}_z"] = grids.scale, grids.zero
    return _Ruled(scale, zero, top)


def _dense(values: Floats, mask: npt.NDArray[np.bool_]) -> Tensor:
    """Put entries back in their vectors."""
    out = np.zeros(mask.shape, dtype=np.float32)
    out[mask] = values
    return _tensor(out)


def _tensor(values: Floats) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values))


def _bools(mask: npt.NDArray[np.bool_]) -> Tensor:
    import torch

    return torch.from_numpy(mask)
