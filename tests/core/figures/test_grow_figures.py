from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from deltaworks.figures.grow import draw_curves, draw_matrices
from deltaworks.figures.look import LIGHT
from deltaworks.studies.grow_record import Arm, GrowResult, StoredTask


def result(*arms: Arm) -> GrowResult:
    tasks = tuple(
        StoredTask(name, number, (name,), 4, 4, 10, 100, 40)
        for number, name in enumerate(("cats", "a very long name of dogs"))
    )
    cosines = ((1.0, -0.6), (-0.6, 1.0))
    thinned = ((1.0, 0.05), (0.05, 1.0))
    return GrowResult(tasks, arms, cosines, thinned, (1.0, 1.0), (1.4, 0.4), (0.2, 0), (0.2, 0))


SOTU = Arm("sotu", "SoTU", "class-mean", "streaming", ((0.9, None), (0.7, 0.8)), (0.9, 0.75))
JOINT = Arm("joint", "Joint", "linear", "re-pass", ((None, None), (1.0, 1.0)), (None, 1.0))


def axes_of(figure: Figure) -> list[Any]:
    return list(figure.axes)


def test_curves_leave_out_what_was_not_measured() -> None:
    figure = Figure(figsize=(11, 5))

    draw_curves(figure, result(SOTU, JOINT))

    lines = {str(line.get_label()): line for line in axes_of(figure)[0].lines}
    assert list(lines) == ["SoTU (means, streaming)", "Joint (own head, re-pass)"]
    assert list(lines["SoTU (means, streaming)"].get_ydata()) == [0.9, 0.75]
    assert list(lines["Joint (own head, re-pass)"].get_xdata()) == [2]
    assert lines["SoTU (means, streaming)"].get_color() == LIGHT.accent


def test_a_result_without_measures_says_so() -> None:
    figure = Figure(figsize=(11, 5))

    draw_curves(figure, result(Arm("sotu", "SoTU", "ridge", "streaming", (), (None,))))

    assert [text.get_text() for text in axes_of(figure)[0].texts] == ["Nothing was measured."]


def test_matrices_write_their_numbers() -> None:
    figure = Figure(figsize=(15, 5))

    draw_matrices(figure, result(SOTU, JOINT))

    accuracy, whole, thinned = axes_of(figure)
    assert [one.get_text() for one in accuracy.texts] == ["0.90", "0.70", "0.80"]
    assert [one.get_text() for one in whole.texts] == ["1.00", "-0.60", "-0.60", "1.00"]
    assert whole.texts[1].get_color() == LIGHT.ground  # dark cell, whatever the sign
    assert thinned.texts[1].get_text() == "0.05"
    assert [one.get_text() for one in thinned.get_xticklabels()][1].endswith("…")
    for axes in (accuracy, whole, thinned):
        box = axes.get_position()
        assert 0 <= box.x0 < box.x1 <= 1


def test_summaries_of_an_arm() -> None:
    assert SOTU.last == 0.75
    assert abs((SOTU.average or 0) - 0.825) < 1e-12
    assert abs((SOTU.forgetting or 0) - 0.2) < 1e-12
    assert JOINT.average is None
    assert JOINT.forgetting is None
