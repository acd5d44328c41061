"""Who descends from whom, found from numbers. Pure functions on sampled weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

RELATED_COSINE = 0.3
"""Least cosine of relatives. Strangers stay within 0.05 of zero; a fine-tune that moved
as far as the norm of its base still has 0.7."""

GUESS = 0.51
"""Confidence up to which the choice of the base is little more than a coin."""

RELATED_DISTANCE = 1.2
"""Largest median relative distance of relatives; strangers have about 1.4."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two samples are.

    Args:
        distance: median over matrices of ``|other - base| / |base|``.
        cosine: of all numbers laid end to end.
        identical: share of matrices that are equal bit for bit.
        related_share: share of matrices that are related on their own.
    """

    distance: float
    cosine: float
    identical: float
    related_share: float

    @property
    def is_related(self) -> bool:
        """Whether the two can have an ancestor in common."""
        return self.cosine >= RELATED_COSINE and self.distance <= RELATED_DISTANCE


def likeness(base: Sequence[Array], other: Sequence[Array]) -> Likeness:
    """Compare two samples, matrix by matrix.

    Args:
        base: one vector a matrix.
        other: the same places in another model.
    """
    import numpy as np

    distances, related, identical = [], 0, 0
    dot = square_base = square_other = 0.0
    for left, right in zip(base, other, strict=True):
        a, b = left.astype(np.float64), right.astype(np.float64)
        aa, bb, ab = float(a @ a), float(b @ b), float(a @ b)
        gap = float(np.linalg.norm(b - a))
        distances.append(gap / aa**0.5 if aa else (0.0 if gap == 0.0 else float("inf")))
        identical += bool(np.array_equal(left, right))
        related += bool(gap == 0.0 or (aa * bb > 0 and ab / (aa * bb) ** 0.5 >= RELATED_COSINE))
        dot, square_base, square_other = dot + ab, square_base + aa, square_other + bb
    if not distances:
        return Likeness(0.0, 1.0, 1.0, 1.0)
    scale = (square_base * square_other) ** 0.5
    cosine = dot / scale if scale else float(square_base == square_other)
    n = len(distances)
    return Likeness(float(np.median(distances)), cosine, identical / n, related / n)


@dataclass(frozen=True, slots=True)
class Member:
    """One model of a group that shares its shapes.

    Args:
        id: row.
        is_base: declared or set to be a base; ``is_expert`` the contrary.
        hint: order among equals, small is more like a base (a name that says so).
    """

    id: int
    is_base: bool = False
    is_expert: bool = False
    hint: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """One relation found from weights.

    Args:
        model: row that descends from ``base``.
        confidence: 0 to 1: how clear the likeness is and how clear the choice of the base.
        distance: relative norm of the difference.
    """

    model: int
    base: int
    confidence: float
    distance: float


def find_relations(
    members: Sequence[Member], samples: Mapping[int, Sequence[Array]]
) -> list[Found]:
    """Split a group into families and choose each family's base.

    A base that is declared or set wins. Else it is the medoid, the model with the
    smallest sum of distances to the others: fine-tunes move away from their base in
    directions of their own, so that it lies in their middle. Two models alone are a tie;
    then the name decides, then the smaller norm, because training adds to it.
    """
    import numpy as np

    if len(members) < 2:
        return []
    vectors = np.stack([np.concatenate(list(samples[member.id])) for member in members])
    with np.errstate(invalid="ignore", over="ignore"):  # NaN is related to nobody
        gram = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
        norms = np.sqrt(np.maximum(np.diag(gram), np.finfo(np.float64).tiny))
        cosine = gram / np.outer(norms, norms)
        squared = norms[:, None] ** 2 + norms[None, :] ** 2 - 2.0 * gram
        distance = np.sqrt(np.maximum(squared, 0.0)) / np.sqrt(np.outer(norms, norms))
    related = (cosine >= RELATED_COSINE) & (distance <= RELATED_DISTANCE)
    found = []
    for cluster in _clusters(related):
        bases, certainty = _bases(cluster, members, distance, norms)
        for at in set(cluster) - set(bases):
            base = min(bases, key=lambda candidate: (distance[at, candidate], candidate))
            if members[at].is_base:
                continue
            like = likeness(samples[members[base].id], samples[members[at].id])
            confidence = min(1.0, like.related_share * certainty)
            found.append(Found(members[at].id, members[base].id, confidence, like.distance))
    return found


def _clusters(related: Array) -> list[list[int]]:
    """Connected components of two or more."""
    left = set(range(len(related)))
    clusters = []
    while left:
        cluster, frontier = set(), {left.pop()}
        while frontier:
            at = frontier.pop()
            cluster.add(at)
            near = {other for other in left if related[at, other]}
            left -= near
            frontier |= near
        if len(cluster) > 1:
            clusters.append(sorted(cluster))
    return clusters


def _bases(
    cluster: list[int], members: Sequence[Member], distance: Array, norms: Array
) -> tuple[list[int], float]:
    """Choose the bases of a family, and say how sure that is."""
    known = [at for at in cluster if members[at].is_base]
    if known:
        return known, 1.0
    candidates = [at for at in cluster if not members[at].is_expert] or cluster
    # Copies of one model would pull the middle towards themselves: count each content once.
    distinct = [
        at for n, at in enumerate(cluster) if not any(distance[at, b] < 1e-6 for b in cluster[:n])
    ]
    total = {at: float(distance[at, distinct].sum()) for at in cluster}
    least = min(total[at] for at in candidates)
    near = [at for at in candidates if total[at] <= least * 1.001 + 1e-9]
    best = min(near, key=lambda at: (members[at].hint, float(norms[at]), at))
    others = [value for at, value in total.items() if distance[at, best] >= 1e-6]
    if not others or least == 0.0:
        return [best], 1.0
    lead = max(0.0, min(others) / least - 1.0)
    return [best], 0.5 + 0.5 * min(1.0, lead / 0.1)
