from __future__ import annotations

import pytest

from deltaworks.numerics.chunks import row_spans, spans
from deltaworks.numerics.matrices import Stack, as_stack


@pytest.mark.parametrize(
    ("shape", "stack"),
    [
        ((), Stack(1, 1, 1)),
        ((7,), Stack(1, 1, 7)),
        ((3, 4), Stack(1, 3, 4)),
        ((8, 3, 4), Stack(8, 3, 4)),
        ((2, 3, 4, 5), Stack(1, 2, 60)),
        ((0, 5), Stack(1, 0, 5)),
    ],
)
def test_any_shape_is_a_stack_of_matrices(shape: tuple[int, ...], stack: Stack) -> None:
    assert as_stack(shape) == stack


def test_spans_cover_everything_once() -> None:
    assert [(span.start, span.stop) for span in spans(10, 4)] == [(0, 4), (4, 8), (8, 10)]
    assert list(spans(0, 4)) == []


def test_row_spans_hold_about_the_asked_size() -> None:
    assert [span.stop - span.start for span in row_spans(5, 100, 250)] == [2, 2, 1]
    assert [span.stop for span in row_spans(2, 1000, 10)] == [1, 2]
    assert [span.stop for span in row_spans(3, 0, 10)] == [3]
