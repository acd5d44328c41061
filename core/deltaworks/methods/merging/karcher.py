"""Karcher mean: the point of a sphere nearest to all directions.

Source: arcee-ai/mergekit 0.1.5, method ``karcher``. The whole tensor is one vector.
Departure: a direction opposite to the mean has no defined pull and is left out of a step.
"""

from __future__ import annotations

from math import cos, sin, sqrt
from typing import TYPE_CHECKING

import numpy as np

from deltaworks.methods.merging.pieces import Doubles, combination, dot_products
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Needs
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs


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


def stream(inputs: StreamInputs, options: KarcherOptions) -> Fill:
    """Give the Karcher mean of the directions, as long as the mean length."""
    if len(inputs.experts) == 1:
        return inputs.experts[0].into
    dots = dot_products(inputs.experts, None, inputs.arithmetic)
    return combination(inputs, _factors(dots, options), None)


def _factors(dots: Doubles, options: KarcherOptions) -> list[float]:
    """Give the factor of each vector, from all dot products."""
    lengths = np.sqrt(np.maximum(dots.diagonal(), 0.0))
    # Not "> tol": lengths of NaN must go through, to be found at the end.
    has_direction = ~(lengths <= options.tol)
    if not has_direction.any():
        return [0.0] * len(lengths)
    shrink = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=has_direction)
    mean = _mean(dots * shrink[:, None] * shrink, has_direction.astype(np.float64), options)
    factors: list[float] = (mean * shrink * lengths.mean()).tolist()
    return factors


def _mean(unit_dots: Doubles, has_direction: Doubles, options: KarcherOptions) -> Doubles:
    """Find the mean as a weighted sum of unit vectors.

    Args:
        unit_dots: cosines of every pair, ``(n, n)``.
        has_direction: 1 for vectors that take part, else 0.
        options: when to stop.
    """
    shares = has_direction / has_direction.sum()
    length = _length(shares, unit_dots)
    if length < options.tol:
        mean: Doubles = np.zeros_like(shares)
        mean[int(has_direction.argmax())] = 1.0
    else:
        mean = shares / length
    for _ in range(options.max_iter):
        cosines = np.clip(unit_dots @ mean, -1.0, 1.0)
        angles = np.arccos(cosines)
        sines = np.sin(angles)
        has_pull = ~(sines < options.tol)
        pulls = shares * np.divide(angles, sines, out=np.zeros_like(angles), where=has_pull)
        step = pulls - float(pulls @ cosines) * mean
        turn = _length(step, unit_dots)
        if turn < options.tol:
            break
        mean = cos(turn) * mean + (sin(turn) / turn) * step
        mean = mean / _length(mean, unit_dots)
    return mean


def _length(coefficients: Doubles, unit_dots: Doubles) -> float:
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
    stream=stream,
    working_bytes=0,
)
