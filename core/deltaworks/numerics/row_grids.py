"""Uniform grids along rows: one for every group of consecutive columns of a row.

Source: the grids of the GPTQ code (arXiv:2210.17323). Asymmetric grids hold zero and reach
from the least to the largest value; symmetric ones have their zero in the middle. Scales
are kept as float16 and codes are made for the scales as kept. With ``clip``, ranges are
shrunk where that lowers the squared error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_SHRINKS = tuple(1.0 - 0.05 * step for step in range(13))
"""Shares of the range that are tried, from all of it to two fifths."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """How grids are made.

    Args:
        bits: of a code, 2 to 8.
        symmetric: whether zero is in the middle and need not be kept.
        clip: whether ranges are shrunk where that helps.
    """

    bits: int
    symmetric: bool = False
    clip: bool = True

    @property
    def top(self) -> int:
        """Largest code."""
        return (1 << self.bits) - 1


def fit(columns: Tensor, ruling: Ruling, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Fit a grid to every row of a group.

    Args:
        columns: ``(rows, group)``, in a unit in which float16 scales are precise.
        ruling: what grids to make.
        weights: how much an error in each column counts, ``(group,)``; used for clipping.

    Returns:
        Scales, which float16 holds exactly, and codes of zero, ``(rows,)`` float32 each.
    """
    low, high = columns.amin(dim=1).clamp(max=0.0), columns.amax(dim=1).clamp(min=0.0)
    if ruling.symmetric:
        high = high.maximum(-low)
        low = -high
    scale, zero = _grid(low, high, ruling)
    if not ruling.clip:
        return scale, zero
    least = _error(columns, scale, zero, ruling, weights)
    for shrink in _SHRINKS[1:]:
        tried = _grid(low * shrink, high * shrink, ruling)
        error = _error(columns, *tried, ruling, weights)
        better = error < least
        scale, zero = scale.where(~better, tried[0]), zero.where(~better, tried[1])
        least = least.minimum(error)
    return scale, zero


def _grid(low: Tensor, high: Tensor, ruling: Ruling) -> tuple[Tensor, Tensor]:
    import torch

    scale = ((high - low) / ruling.top).half().float()
    if ruling.symmetric:
        return scale, torch.full_like(scale, float((ruling.top + 1) // 2))
    zero = (-low / _divisor(scale)).round().clamp(0, ruling.top)
    return scale, zero


def to_codes(values: Tensor, scale: Tensor, zero: Tensor, ruling: Ruling) -> Tensor:
    """Round values to codes; scales and zeros must broadcast to them."""
    return (values / _divisor(scale)).round_().add_(zero).clamp_(0, ruling.top)


def _divisor(scale: Tensor) -> Tensor:
    return scale.where(scale != 0, 1.0)


def _error(
    columns: Tensor, scale: Tensor, zero: Tensor, ruling: Ruling, weights: Tensor | None
) -> Tensor:
    scale, zero = scale[:, None], zero[:, None]
    gap = (to_codes(columns, scale, zero, ruling) - zero) * scale - columns
    squares = gap.square_()
    return (squares if weights is None else squares * weights).sum(dim=1)


class GridRounder:
    """Rounds columns to grids that are fitted group by group; keeps codes and grids.

    Args:
        rows: of the matrix; ``columns`` likewise.
        columns: see ``rows``.
        group: columns that share a grid in each row.
        ruling: what grids to make.
        order: place of every column that will be shown, when they are not in their order;
            then grids must be fitted before, by ``fit_all``.
    """

    def __init__(
        self, rows: int, columns: int, group: int, ruling: Ruling, order: Tensor | None = None
    ) -> None:
        import torch

        n_groups = -(-columns // group)
        self._group, self._ruling = group, ruling
        self._order = None if order is None else order.tolist()
        self.codes = torch.zeros(rows, columns, dtype=torch.uint8)
        self.scale = torch.zeros(rows, n_groups)
        self.zero = torch.zeros(rows, n_groups)

    def fit_all(self, weights: Tensor, counts: Tensor | None = None) -> None:
        """Fit every grid to weights as they are before rounding."""
        for number in range(self.scale.shape[1]):
            span = slice(number * self._group, (number + 1) * self._group)
            self._fit(number, weights[:, span], None if counts is None else counts[span])

    def begin(self, start: int, columns: Tensor, diagonal: Tensor) -> None:
        """Fit the grids of the next group, unless all were fitted before."""
        if self._order is None:
            # What an error costs after the later columns have made good what they can.
            self._fit(start // self._group, columns, diagonal.reciprocal().square())

    def _fit(self, number: int, columns: Tensor, weights: Tensor | None) -> None:
        found = fit(columns, self._ruling, weights)
        self.scale[:, number], self.zero[:, number] = found

    def round(self, column: int, values: Tensor) -> Tensor:
        """Round a column."""
        place = column if self._order is None else self._order[column]
        number = place // self._group
        scale, zero = self.scale[:, number], self.zero[:, number]
        codes = to_codes(values, scale, zero, self._ruling)
        self.codes[:, place] = codes
        return (codes - zero) * scale


def decoded(codes: Tensor, scale: Tensor, zero: Tensor, group: int) -> Tensor:
    """Give the values of codes, ``(rows, columns)`` float32."""
    columns = codes.shape[1]
    spread = [
        one.float().repeat_interleave(group, dim=1)[:, :columns]
        if one.shape[1] > 1
        else one.float()
        for one in (scale, zero)
    ]
    return (codes.float() - spread[1]).mul_(spread[0])
