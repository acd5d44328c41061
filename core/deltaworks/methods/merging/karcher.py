"""Karcher mean: the point of a sphere nearest to all directions.

Source: arcee-ai/mergekit 0.1.5, method ``karcher``. The whole tensor is one vector.
Departure: a direction opposite to the mean has no defined pull and is left out of a step.
"""

from __future__ import annotations

from math import cos, sin, sqrt
from typing import TYPE_CHECKING

from deltaworks.methods.merging.combination import combine
from deltaworks.methods.merging.kernel import checked, flat_experts
from deltaworks.methods.method import MergingMethod, Needs
from deltaworks.numerics.gram import gram
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.method import MergeInputs


class KarcherOptions(Options):
    """Options of the Karcher mean."""

    max_iter: int = option(
        10,
        ge=1,
        le=1000,
        title="Most steps",
        help="Steps after which the search ends in any case. Close relatives need two or three.",
        advanced=True,
        sweepable=True,
        sweep=(1, 10, 100),
    )
    tol: float = option(
        1e-5,
        gt=0.0,
        le=0.1,
        title="Tolerance",
        help="The search ends when a step turns by less than this angle in radians. Vectors "
        "shorter than this have no direction.",
        log=True,
        advanced=True,
    )


class KarcherExpertOptions(Options):
    """All models count the same."""


def merge(inputs: MergeInputs, options: KarcherOptions) -> Tensor:
    """Give the Karcher mean of the directions, as long as the mean length."""
    vectors = flat_experts(inputs)
    if len(vectors) == 1:
        return checked(vectors[0].float().clone(), inputs)
    factors = _factors(gram(vectors), options)
    return checked(combine(vectors, factors, None), inputs)


def _factors(dots: Tensor, options: KarcherOptions) -> list[float]:
    """Give the factor of each vector, from all dot products."""
    import torch

    lengths = dots.diagonal().clamp_min(0.0).sqrt()
    # Not "> tol": lengths of NaN must go through, to be found at the end.
    has_direction = ~(lengths <= options.tol)
    if not has_direction.any():
        return [0.0] * len(lengths)
    shrink = torch.where(has_direction, 1.0 / lengths, torch.zeros_like(lengths))
    mean = _mean(dots * shrink[:, None] * shrink, has_direction.double(), options)
    factors: list[float] = (mean * shrink * lengths.mean()).tolist()
    return factors


def _mean(unit_dots: Tensor, has_direction: Tensor, options: KarcherOptions) -> Tensor:
    """Find the mean as a weighted sum of unit vectors.

    Args:
        unit_dots: cosines of every pair, ``(n, n)``.
        has_direction: 1 for vectors that take part, else 0.
        options: when to stop.
    """
    import torch

    shares = has_direction / has_direction.sum()
    length = _length(shares, unit_dots)
    mean = shares / length
    if length < options.tol:
        mean = torch.zeros_like(shares)
        mean[int(has_direction.argmax())] = 1.0
    for _ in range(options.max_iter):
        cosines = (unit_dots @ mean).clamp(-1.0, 1.0)
        angles = cosines.acos()
        sines = angles.sin()
        pulls = torch.where(sines < options.tol, torch.zeros_like(angles), angles / sines) * shares
        step = pulls - float(pulls @ cosines) * mean
        turn = _length(step, unit_dots)
        if turn < options.tol:
            break
        mean = cos(turn) * mean + (sin(turn) / turn) * step
        mean = mean / _length(mean, unit_dots)
    return mean


def _length(coefficients: Tensor, unit_dots: Tensor) -> float:
    """Length of a weighted sum of the unit vectors."""
    return sqrt(max(0.0, float(coefficients @ unit_dots @ coefficients)))


METHOD = MergingMethod(
    id="karcher",
    title="Karcher mean",
    family="merging",
    group="direct",
    cost="10 N n",
    summary="Finds the direction nearest to all models' directions on a sphere.",
    source="mergekit 0.1.5",
    options=KarcherOptions,
    expert_options=KarcherExpertOptions,
    needs=Needs(base=False),
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    merge=merge,
)
