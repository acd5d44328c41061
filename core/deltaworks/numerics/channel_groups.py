"""Which experts share a channel: few points, grouped exactly or by k-means, for many rows at once.

Everything is computed from the dot products of the points of a row, so the length of the
rows matters once only.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint8]

MOST_EXACT = 6
"""Points whose partitions are all tried; 203 for six."""
_ROUNDS = 20
_TIE = 1e-9
_LEAST_NORM = 1e-12


@cache
def partitions(count: int, most: int) -> tuple[tuple[int, ...], ...]:
    """List all ways to put points into at most so many groups, those with few groups first.

    Args:
        count: points.
        most: groups.

    Returns:
        A label for each point; the first point has 0, and no label is left out.
    """

    def grow(labels: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(labels) == count:
            yield labels
            return
        for label in range(min(most, max(labels) + 2)):
            yield from grow((*labels, label))

    return tuple(sorted(grow((0,)), key=lambda one: (max(one), one)))


def gram_of_rows(points: Floats, *, cosine: bool) -> Doubles:
    """Give the dot products of the points of every row.

    Args:
        points: ``(points, rows, cols)``.
        cosine: bring all points to length 1 first; those without length stay.

    Returns:
        ``(rows, points, points)``.
    """
    gram: Doubles = np.einsum("nrc,mrc->rnm", points, points, dtype=np.float64, optimize=False)
    if cosine:
        lengths = np.sqrt(np.einsum("rnn->rn", gram))
        lengths = np.maximum(lengths, _LEAST_NORM)
        gram /= lengths[:, :, None] * lengths[:, None, :]
    return gram


def group_rows(points: Floats, groups: int, *, cosine: bool = True) -> Labels:
    """Group the points of every row so that each is near the mean of its group.

    With as many groups as points everybody keeps a group, but for exact twins, who share
    one; so nothing is lost.

    Args:
        points: ``(points, rows, cols)``, finite.
        groups: at most so many.
        cosine: whether only the direction counts.

    Returns:
        ``(rows, points)`` labels below ``groups``.
    """
    count, rows, _ = points.shape
    if groups == 1 or count == 1:
        return np.zeros((rows, count), dtype=np.uint8)
    if groups >= count:
        return _twins(points)
    gram = gram_of_rows(points, cosine=cosine)
    return _exact(gram, groups) if count <= MOST_EXACT else _k_means(gram, groups)


def _twins(points: Floats) -> Labels:
    """Give every point its own label, but for those equal to an earlier one."""
    count, rows, _ = points.shape
    labels = np.tile(np.arange(count, dtype=np.uint8), (rows, 1))
    for later in range(1, count):
        for earlier in reversed(range(later)):
            same = (points[later] == points[earlier]).all(axis=1)
            labels[same, later] = labels[same, earlier]
    return labels


def _exact(gram: Doubles, groups: int) -> Labels:
    """Try every partition; of equal ones take the one with fewest groups."""
    count = gram.shape[1]
    choices = np.array(partitions(count, groups), dtype=np.uint8)
    kept = np.empty((len(choices), len(gram)))
    for number, labels in enumerate(choices):
        members = labels[None, :] == np.arange(int(labels.max()) + 1)[:, None]
        sums = np.einsum("gn,rnm,gm->rg", members, gram, members)
        kept[number] = (sums / members.sum(1)).sum(1)
    # What a partition keeps of the squared lengths; the rest is its error.
    enough = kept >= kept.max(0) - _TIE * np.maximum(kept.max(0), 1e-30)
    found: Labels = choices[enough.argmax(0)]
    return found


def _k_means(gram: Doubles, groups: int) -> Labels:
    """Group by k-means that begins with points far apart, for all rows together."""
    labels = _nearest(_to_centres(gram, _far_apart(gram, groups)))
    for _ in range(_ROUNDS):
        distance = _to_means(gram, labels, groups)
        fresh = _nearest(distance)
        _refill(fresh, distance, groups)
        if np.array_equal(fresh, labels):
            break
        labels = fresh
    return labels


def _far_apart(gram: Doubles, groups: int) -> npt.NDArray[np.int64]:
    """Choose centres, ``(rows, groups)``: the longest point, then always the farthest one."""
    rows, count, _ = gram.shape
    squares = np.einsum("rnn->rn", gram)
    centres = np.zeros((rows, groups), dtype=np.int64)
    centres[:, 0] = squares.argmax(1)
    nearest = np.full((rows, count), np.inf)
    every = np.arange(rows)
    for number in range(1, groups):
        last = centres[:, number - 1]
        distance = squares - 2 * gram[every, last] + squares[every, last][:, None]
        nearest = np.minimum(nearest, distance)
        centres[:, number] = nearest.argmax(1)
    return centres


def _to_centres(gram: Doubles, centres: npt.NDArray[np.int64]) -> Doubles:
    """Squared distances ``(rows, points, groups)`` to points that serve as centres."""
    squares = np.einsum("rnn->rn", gram)
    between = np.take_along_axis(gram, centres[:, None, :], axis=2)
    far: Doubles = squares[:, :, None] - 2 * between
    far += np.take_along_axis(squares, centres, axis=1)[:, None, :]
    return far


def _to_means(gram: Doubles, labels: Labels, groups: int) -> Doubles:
    """Squared distances ``(rows, points, groups)`` to the means of the groups."""
    members = (labels[:, :, None] == np.arange(groups)).astype(np.float64)
    sizes = np.maximum(members.sum(1), 1.0)
    to_sum = np.einsum("rnm,rmg->rng", gram, members)
    own = np.einsum("rng,rng->rg", to_sum, members)
    squares = np.einsum("rnn->rn", gram)
    far: Doubles = squares[:, :, None] - 2 * to_sum / sizes[:, None, :]
    far += (own / sizes**2)[:, None, :]
    return np.where(members.sum(1)[:, None, :] > 0, far, np.inf)


def _nearest(distance: Doubles) -> Labels:
    """The nearest group of every point; of equal ones the first."""
    # Rounding must not tell equal distances apart.
    scale = np.where(np.isfinite(distance), np.abs(distance), 0.0).max(axis=(1, 2), keepdims=True)
    close = distance <= distance.min(axis=2, keepdims=True) + _TIE * np.maximum(scale, 1e-30)
    nearest: Labels = close.argmax(2).astype(np.uint8)
    return nearest


def _refill(labels: Labels, distance: Doubles, groups: int) -> None:
    """Give empty groups the point that is farthest from its own mean, in place."""
    own = np.take_along_axis(distance, labels[:, :, None].astype(np.int64), axis=2)[:, :, 0]
    for group in range(groups):
        empty = ~(labels == group).any(1) & (own.max(1) > _TIE)
        if empty.any():
            farthest = own[empty].argmax(1)
            labels[np.flatnonzero(empty), farthest] = group
            own[np.flatnonzero(empty), farthest] = 0.0


def pack_labels(labels: Labels, bits: int) -> npt.NDArray[np.uint8]:
    """Pack labels row by row, so many bits each, the lowest bit first."""
    spread = (labels.reshape(-1)[:, None] >> np.arange(bits, dtype=np.uint8)) & 1
    return np.packbits(spread.astype(np.uint8).reshape(-1), bitorder="little")


def unpack_labels(packed: npt.NDArray[np.uint8], rows: int, points: int, bits: int) -> Labels:
    """Undo ``pack_labels``: ``(rows, points)``."""
    if not bits:
        return np.zeros((rows, points), dtype=np.uint8)
    spread = np.unpackbits(packed, count=rows * points * bits, bitorder="little")
    weights = (1 << np.arange(bits, dtype=np.uint8)).astype(np.uint8)
    labels: Labels = (spread.reshape(-1, bits) * weights).sum(1).astype(np.uint8)
    return labels.reshape(rows, points)


def label_bits(groups: int) -> int:
    """Bits of a label: ``ceil(log2 groups)``, none for a single group."""
    return (groups - 1).bit_length()
