from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from deltaworks.figures.look import LIGHT
from deltaworks.figures.transfer import (
    draw_arm_losses,
    draw_layer_scores,
    draw_similarity,
    draw_start_cosines,
    draw_window,
)

ARMS = [
    {"title": "Seeking", "measures": [[0, {"held_out": 2.0}], [5, {"held_out": 1.0}]]},
    {"title": "PiSSA", "measures": [[0, {"held_out": 2.0}], [5, {"held_out": 0.5}]]},
]


def figure() -> Figure:
    return Figure(figsize=(8, 5), dpi=100)


def test_every_arm_has_a_line_over_the_steps() -> None:
    axes = draw_arm_losses(figure(), ARMS)

    lines = {line.get_label(): line.get_xydata() for line in axes.lines}
    assert set(lines) == {"Seeking", "PiSSA"}
    assert np.asarray(lines["PiSSA"]).tolist() == [[0.0, 2.0], [5.0, 0.5]]


def test_what_was_not_measured_is_said() -> None:
    axes = draw_arm_losses(figure(), ARMS, on="control_data")

    assert [text.get_text() for text in axes.texts] == ["Nothing was measured."]


def test_chosen_layers_stand_out() -> None:
    axes = draw_layer_scores(figure(), [3.0, 1.0, 2.0], [0, 2])

    colours = [bar.get_facecolor() for bar in axes.patches]
    assert colours[0] == colours[2] != colours[1]
    heights = [bar.get_window_extent().height for bar in axes.patches]
    assert np.allclose(np.array(heights) / heights[1], [3.0, 1.0, 2.0])


def test_the_window_lies_where_it_was_cut() -> None:
    heat = {"tensor": "w", "cells": [[1, 2], [3, 4]], "shape": [8, 6]}
    axes = draw_window(figure(), {**heat, "rows": [2, 7], "cols": [1, 4]})

    (edge,) = axes.patches
    assert edge.get_bbox().bounds == (1, 2, 3, 5)  # type: ignore[attr-defined]


def test_similarity_says_which_estimate_it_shows() -> None:
    kinds = [
        {"layer": "up", "cka": [[0.5, 0.6]], "unbiased": [[0.1, -0.2]]},
        {"layer": "down", "cka": [[0.5, 0.6]]},
    ]
    every = draw_similarity(figure(), {"kinds": kinds})

    assert [axes.get_title() for axes in every] == ["up\nunbiased CKA", "down\nCKA, biased"]
    assert np.asarray(every[0].images[0].get_array()).tolist() == [[0.1, -0.2]]
    assert every[0].images[0].get_clim() == (-0.2, 1.0)


def test_cosines_are_drawn_for_every_matrix() -> None:
    matrices = [{"block": n, "cosine_weight": 0.0, "cosine_rest": -0.1 * n} for n in range(3)]
    axes = draw_start_cosines(figure(), matrices, look=LIGHT)

    assert [len(np.asarray(dots.get_offsets())) for dots in axes.collections] == [3, 3]
