"""The trade-off front, and which point to take."""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, float]
"""Size, less is better; quality as a share of the full expert's, more is better."""


def pareto_front(points: Sequence[Point]) -> list[bool]:
    """Tell which points no other point beats.

    A point is beaten by one that is at least as good in both and better in one; so equal
    points stay or go together.

    Args:
        points: size and quality.

    Returns:
        One answer a point, in their order.
    """
    best_by_size: dict[float, float] = {}
    for size, quality in points:
        best_by_size[size] = max(quality, best_by_size.get(size, quality))
    on_front: set[Point] = set()
    best = float("-inf")
    for size in sorted(best_by_size):
        if best_by_size[size] > best:
            best = best_by_size[size]
            on_front.add((size, best))
    return [point in on_front for point in points]


def recommend(points: Sequence[Point], max_loss: float) -> int | None:
    """Choose the smallest point that loses at most so much, else the best one.

    Args:
        points: size and quality.
        max_loss: quality that may be lost, a fraction of the full expert's.

    Returns:
        Its place; of equal ones the first. None when there are no points.
    """
    if not points:
        return None
    places = range(len(points))
    good = [place for place in places if _is_good(points[place], max_loss)]
    if good:
        return min(good, key=lambda place: (points[place][0], -points[place][1]))
    return min(places, key=lambda place: (-points[place][1], points[place][0]))


def rule(points: Sequence[Point], max_loss: float) -> str:
    """Say in words why the recommended point is recommended; empty without points."""
    if not points:
        return ""
    if any(_is_good(point, max_loss) for point in points):
        return f"largest drop in size for under {100 * max_loss:g} % loss"
    return f"highest quality; none loses less than {100 * max_loss:g} %"


def _is_good(point: Point, max_loss: float) -> bool:
    return point[1] >= 1.0 - max_loss
