"""The plot of a comparison: one line a method, RDC in the accent."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from deltaworks.figures.comparison import draw_comparison
from deltaworks.figures.look import LIGHT
from deltaworks.studies.comparison import Comparison, Entry


def entries(**more: Any) -> tuple[Entry, ...]:
    return (
        Entry("one", "sign", "Sign", {}, bits=1.0, fidelity=0.6, **more),
        Entry("one", "rdc", "RDC", {}, bits=0.5, fidelity=0.7, **more),
        Entry("one", "rdc", "RDC", {}, bits=2.0, fidelity=0.9, **more),
        Entry("one", "dare", "DARE", {}, reason="does not fit"),
    )


def test_every_method_that_ran_has_a_line_in_order_of_bits() -> None:
    figure = Figure(figsize=(8, 5))

    draw_comparison(figure, Comparison("b", (2.0, 0.5), entries()), expert="one", y="fidelity")

    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert set(lines) == {"Sign", "RDC"}
    assert np.asarray(lines["RDC"].get_xdata()).tolist() == [0.5, 2.0]
    assert lines["RDC"].get_color() == LIGHT.accent


def test_without_measures_it_says_so() -> None:
    figure = Figure(figsize=(8, 5))

    draw_comparison(figure, Comparison("b", (2.0,), entries()), expert="one", y="kl")

    assert [text.get_text() for text in figure.axes[0].texts] == ["Nothing was measured."]
