from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaworks.studies.front import Point, pareto_front, recommend, rule

# Few values, so that ties in size, in quality and in both are common.
POINTS = st.lists(
    st.tuples(
        st.integers(0, 6).map(float), st.sampled_from([-8.0, 0.0, 0.5, 0.97, 0.98, 0.99, 1.0, 1.1])
    ),
    max_size=14,
)


def beats(one: Point, other: Point) -> bool:
    at_least_as_good = one[0] <= other[0] and one[1] >= other[1]
    return at_least_as_good and one != other


@given(points=POINTS)
def test_the_front_is_what_nothing_beats(points: list[Point]) -> None:
    front = pareto_front(points)

    assert front == [not any(beats(other, point) for other in points) for point in points]


@given(points=POINTS, max_loss=st.sampled_from([0.0, 0.02, 0.5]))
def test_the_recommended_point_follows_the_rule(points: list[Point], max_loss: float) -> None:
    chosen = recommend(points, max_loss)

    if not points:
        assert chosen is None
        return
    assert chosen is not None
    good = [point for point in points if point[1] >= 1 - max_loss]
    if good:
        assert points[chosen] in good
        assert points[chosen][0] == min(size for size, _ in good)
    else:
        assert points[chosen][1] == max(quality for _, quality in points)
    assert pareto_front(points)[chosen]


@pytest.mark.parametrize(
    ("points", "chosen", "words"),
    [
        ([(10, 1.0), (5, 0.985), (4, 0.9)], 1, "largest drop in size for under 2 % loss"),
        ([(10, 0.9), (5, 0.5)], 0, "highest quality; none loses less than 2 %"),
        ([(5, 0.99), (5, 0.985)], 0, "largest drop in size for under 2 % loss"),
        ([], None, ""),
    ],
)
def test_the_rule_is_said_in_words(points: list[Point], chosen: int | None, words: str) -> None:
    assert recommend(points, 0.02) == chosen
    assert rule(points, 0.02) == words
