"""Which repair to take: the most useful one among those that refuse enough."""

from __future__ import annotations

from collections.abc import Sequence

from deltaworks.studies.front import pareto_front

Point = tuple[float, float]
"""Utility and refusal rate, more of each is better."""


def front(points: Sequence[Point]) -> list[bool]:
    """Tell which points no other point beats in both; ties stay."""
    return pareto_front([(-utility, refusal) for utility, refusal in points])


def pick(points: Sequence[Point], target: float) -> int | None:
    """Choose the largest utility with a refusal rate of at least the target.

    Where none reaches it, the highest refusal rate, then the largest utility.

    Args:
        points: utility and refusal rate.
        target: refusal rate, a fraction.

    Returns:
        Its place; of equal ones the first. None when there are no points.
    """
    if not points:
        return None
    places = range(len(points))
    good = [place for place in places if points[place][1] >= target]
    if good:
        return max(good, key=lambda place: (points[place][0], points[place][1], -place))
    return max(places, key=lambda place: (points[place][1], points[place][0], -place))


def rule(points: Sequence[Point], target: float) -> str:
    """Say in words why the point is chosen; empty without points."""
    if not points:
        return ""
    wanted = f"{100 * target:g} % refusals"
    if any(refusal >= target for _, refusal in points):
        return f"most useful with at least {wanted}"
    return f"most refusals; none reaches {wanted}"
