"""Runs of neighbouring rows, so that views hear of them once."""

from __future__ import annotations

from collections.abc import Iterable


def ranges_of(places: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of every run of neighbours, in order."""
    ranges: list[tuple[int, int]] = []
    for place in sorted(places):
        if ranges and place == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], place)
        else:
            ranges.append((place, place))
    return ranges
