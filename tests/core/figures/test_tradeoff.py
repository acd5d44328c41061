from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from deltaworks.figures import DARK, LIGHT, describe_tradeoff, draw_tradeoff
from deltaworks.figures.axis_choices import Point
from deltaworks.figures.tradeoff_lines import front_of
from deltaworks.figures.tradeoff_points import POINT
from deltaworks.studies.trials import Sweep, Trial

SIZES = [(9.2, 4.1), (6.4, 3.6), (16.0, 9.0)]
Make = Callable[..., Trial]


def _figure(size: tuple[float, float] = (9.2, 4.1), dpi: int = 100) -> Figure:
    return Figure(figsize=size, dpi=dpi)


def _collections(axes: Any) -> list[Any]:
    return [item for item in axes.collections if isinstance(item, PathCollection)]


def _drawn(axes: Any) -> set[tuple[float, float]]:
    return {(float(x), float(y)) for item in _collections(axes) for x, y in item.get_offsets()}


def _fronts(axes: Any) -> list[Any]:
    return [line for line in axes.lines if line.get_gid() == "front"]


def test_every_point_is_where_its_trial_is(sweep: Sweep) -> None:
    artists = draw_tradeoff(_figure(), [sweep])

    expected = {(float(t.file_bytes), t.quality) for t in sweep.trials}
    assert _drawn(artists.axes) == expected
    assert artists.points == [
        ("s1", t.number, float(t.file_bytes), t.quality) for t in sweep.trials
    ]


@pytest.mark.parametrize(
    ("x", "y", "place"),
    [
        ("ratio", "quality", (1_000_000 / 3_300_000, 0.991)),
        ("bpw", "quality", (16 * 1_000_000 / 3_300_000, 0.991)),
        ("size", "fidelity", (1_000_000, 0.6)),
    ],
)
def test_axes_can_be_chosen(sweep: Sweep, x: Any, y: Any, place: tuple[float, float]) -> None:
    artists = draw_tradeoff(_figure(), [sweep], x=x, y=y, log_x=False)

    assert artists.points[2][2:] == pytest.approx(place)


def test_measures_are_heights_too(sweep: Sweep, trial: Make) -> None:
    value = {"recovered": {"value": 0.7, "is_estimate": False}}
    one = replace(sweep, trials=(trial(1, "sign", 1000, 0.9, measures=value),))

    artists = draw_tradeoff(_figure(), [one], y="recovered")

    assert [point[3] for point in artists.points] == [0.7]


def test_front_goes_through_flagged_points_ties_and_all(sweep: Sweep, trial: Make) -> None:
    tie = trial(9, "dare", 500_000, 0.968, on_front=True)

    artists = draw_tradeoff(_figure(), [replace(sweep, trials=(*sweep.trials, tie))])

    (front,) = _fronts(artists.axes)
    places = list(zip(*front.get_data(), strict=True))
    flagged = sorted((t.file_bytes, t.quality) for t in (*sweep.trials, tie) if t.on_front)
    assert places[1:-1] == flagged
    assert places.count((500_000, 0.968)) == 2
    assert places[0] == (250_000, artists.axes.get_ylim()[0])
    assert places[-1] == (artists.axes.get_xlim()[1], 1.0)
    assert front.get_drawstyle() == "steps-post"


def test_front_over_all_experts_is_one_line(two_experts: Sweep) -> None:
    flagged = tuple(replace(t, on_front=t.number in (1, 11)) for t in two_experts.trials)

    artists = draw_tradeoff(_figure(), [replace(two_experts, trials=flagged)])

    (front,) = _fronts(artists.axes)
    assert list(front.get_xdata())[1:-1] == [250_000, 1_009_000]
    assert front.get_color() == LIGHT.accent


def test_crowd_around_the_recommended_point_is_not_covered(sweep: Sweep, trial: Make) -> None:
    crowd = (
        trial(1, "sign", 491_553, 0.992, on_front=True, recommended=True),
        trial(2, "low-rank", 493_089, 0.926),
        trial(3, "low-rank", 515_354, 0.967),
        trial(4, "sign", 513_818, 0.930),
        trial(5, "delta-dct", 523_003, 1.0, on_front=True),
        trial(6, "dare", 593_337, 1.0),
        trial(7, "lossless", 1_553_338, 1.0),
    )

    artists = draw_tradeoff(_figure(), [replace(sweep, trials=crowd)])

    points, labels = _boxes(artists)
    assert len(labels) == 4
    assert not [1 for one in labels for other in points if one.overlaps(other)]


def _point(x: float, y: float) -> Point:
    return Point("s", Trial(1, "e", "", "sign", "", {}), x, y, True)


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), max_size=25))
def test_front_equals_brute_force_with_ties(places: list[tuple[int, int]]) -> None:
    front = front_of([_point(x, y) for x, y in places])

    expected = [
        (x, y)
        for x, y in places
        if not any(a <= x and b >= y and (a, b) != (x, y) for a, b in places)
    ]
    assert [(p.x, p.y) for p in front] == expected


def test_shape_tells_the_method_and_colour_too(sweep: Sweep) -> None:
    artists = draw_tradeoff(_figure(), [sweep])

    looks = {
        (to_hex(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes())
        for c in _collections(artists.axes)
        if len(c.get_facecolor())
    }
    assert len(looks) == len({color for color, _ in looks}) == 6


def test_experts_differ_by_colour_and_by_more(two_experts: Sweep) -> None:
    artists = draw_tradeoff(_figure(), [two_experts])

    first, second = _fronts(artists.axes)
    assert first.get_color() != second.get_color()
    assert first.get_linestyle() != second.get_linestyle()
    inner = [c for c in _collections(artists.axes) if c.get_zorder() == 5.1]
    marked = {(float(x), float(y)) for c in inner for x, y in c.get_offsets()}
    usable = [t for t in two_experts.trials if t.expert == "brackets" and t.state == "done"]
    assert marked == {(float(t.file_bytes), t.quality or t.fidelity) for t in usable}


def test_estimates_are_hollow_and_failures_crosses(two_experts: Sweep) -> None:
    artists = draw_tradeoff(_figure(), [two_experts])

    estimate, failure = two_experts.trials[11], two_experts.trials[12]
    by_place = {
        tuple(place): c
        for c in _collections(artists.axes)
        if c.get_zorder() == 5
        for place in c.get_offsets().tolist()
    }
    hollow = by_place[(estimate.file_bytes, estimate.fidelity)]
    cross = by_place[(failure.file_bytes, failure.quality)]
    assert to_hex(hollow.get_facecolor()[0]) == LIGHT.ground.lower()
    assert to_hex(cross.get_edgecolor()[0]) == LIGHT.bad.lower()
    assert cross.get_paths()[0].vertices.shape == (4, 2)
    texts = [text.get_text() for box in artists.axes.figure.legends for text in box.get_texts()]
    assert texts[-2:] == ["estimated", "not usable"]


def test_reference_lines_carry_their_labels(sweep: Sweep) -> None:
    artists = draw_tradeoff(_figure(), [sweep])

    texts = [label.get_text() for label in artists.labels]
    assert "full expert, 97.2 % on Sums · 3.3 MB" in texts
    assert "base alone, 55.4 % on Sums" in texts
    assert "lossless" in texts
    assert "★ 1 MB, 99.1 %" in texts
    lines: list[Any] = list(artists.axes.lines)
    heights = {line.get_ydata()[0] for line in lines}
    assert {1.0, 0.57} <= heights


def test_base_far_below_is_pointed_at(sweep: Sweep) -> None:
    good = tuple(t for t in sweep.trials if t.quality is not None and t.quality > 0.9)

    artists = draw_tradeoff(_figure(), [replace(sweep, trials=good)])

    assert artists.axes.get_ylim()[0] > 0.8
    assert "base alone, 55.4 % on Sums ↓" in [label.get_text() for label in artists.labels]


def test_point_far_below_is_held_at_the_edge(sweep: Sweep, trial: Make) -> None:
    awful = trial(9, "dare", 200_000, None, fidelity=-8.0)

    artists = draw_tradeoff(_figure(), [replace(sweep, trials=(*sweep.trials, awful))])

    low, high = artists.axes.get_ylim()
    assert low > -0.2
    assert low < artists.points[-1][3] < low + 0.1 * (high - low)


def _boxes(artists: Any) -> tuple[list[Bbox], list[Bbox]]:
    artists.axes.figure.canvas.draw()
    scale = artists.axes.figure.dpi / 100
    half = POINT / 2 * scale
    centres = artists.axes.transData.transform([point[2:] for point in artists.points])
    points = [Bbox.from_extents(x - half, y - half, x + half, y + half) for x, y in centres]
    return points, [label.get_window_extent() for label in artists.labels]


@pytest.mark.parametrize("dpi", [100, 200])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["sweep", "two_experts"])
def test_labels_cover_neither_points_nor_each_other(
    name: str, size: tuple[float, float], dpi: int, request: pytest.FixtureRequest
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _figure(size, dpi)
    FigureCanvasAgg(figure)

    artists = draw_tradeoff(figure, [request.getfixturevalue(name)])

    points, labels = _boxes(artists)
    assert not [1 for one in labels for other in points if one.overlaps(other)]
    assert not [1 for one, other in combinations(labels, 2) if one.overlaps(other)]
    frame = Bbox.from_extents(0, 0, *figure.bbox.size)
    legends = [box.get_window_extent() for box in figure.legends]
    assert legends
    for box in legends:
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert box.y0 >= artists.axes.get_window_extent().y1
        assert not any(box.overlaps(other) for other in (*points, *labels))


def test_ticks_are_round_bytes(sweep: Sweep) -> None:
    artists = draw_tradeoff(_figure(), [sweep])
    artists.axes.figure.canvas.draw()

    low, high = artists.axes.get_xlim()
    places = [tick for tick in artists.axes.get_xticks() if low <= tick <= high]
    texts = [text.get_text() for text in artists.axes.get_xticklabels()]
    assert texts == ["200 kB", "500 kB", "1 MB", "2 MB"]
    assert places == [200_000, 500_000, 1_000_000, 2_000_000]


def test_ticks_follow_a_zoom(sweep: Sweep) -> None:
    artists = draw_tradeoff(_figure(), [sweep])

    artists.axes.set(xlim=(900_000, 1_000_000), ylim=(0.95, 0.96))

    assert len(artists.axes.get_xticks()) >= 2
    assert len(artists.axes.get_yticks()) >= 2


def test_filters_grey_the_rest(sweep: Sweep) -> None:
    artists = draw_tradeoff(_figure(), [sweep], at_least=0.95, at_most=1_500_000)

    grey = {
        tuple(place)
        for c in _collections(artists.axes)
        if len(c.get_facecolor()) and to_hex(c.get_facecolor()[0]) == LIGHT.line_strong.lower()
        for place in c.get_offsets().tolist()
    }
    assert grey == {
        (t.file_bytes, t.quality)
        for t in sweep.trials
        if t.quality is not None and (t.quality < 0.95 or t.file_bytes > 1_500_000)
    }


def test_selected_points_get_a_ring(sweep: Sweep) -> None:
    plain = draw_tradeoff(_figure(), [sweep])
    chosen = draw_tradeoff(_figure(), [sweep], selected=[("s1", 4), ("s1", 5)])

    assert len(chosen.axes.collections) == len(plain.axes.collections) + 2


@pytest.mark.parametrize("sweeps", [0, 1])
def test_empty_sweep_says_what_will_come(sweep: Sweep, sweeps: int) -> None:
    empty = [replace(sweep, trials=(), references=())] * sweeps

    artists = draw_tradeoff(_figure(), empty)

    assert artists.points == []
    assert "No points yet" in artists.axes.texts[0].get_text()
    artists.axes.figure.canvas.draw()


@pytest.mark.parametrize("state", ["waiting", "running", "cancelled"])
def test_trials_without_result_have_no_point(trial: Make, sweep: Sweep, state: Any) -> None:
    one = replace(sweep, trials=(trial(1, "sign", 0, None, state=state, fidelity=None),))

    assert draw_tradeoff(_figure(), [one]).points == []


def test_single_point_and_equal_points_draw(trial: Make, sweep: Sweep) -> None:
    same = tuple(trial(n, "sign", 1000, 1.0, on_front=True) for n in (1, 2, 3))

    artists = draw_tradeoff(_figure(), [replace(sweep, trials=same)])

    artists.axes.figure.canvas.draw()
    assert len(artists.points) == 3


def test_thousands_of_points_are_rasterised(trial: Make, sweep: Sweep) -> None:
    rng = np.random.default_rng(0)
    many = tuple(
        trial(n, "sign", int(size), float(quality))
        for n, (size, quality) in enumerate(rng.uniform((1e5, 0.2), (1e7, 1), (2100, 2)), 1)
    )

    artists = draw_tradeoff(_figure(), [replace(sweep, trials=many)])

    assert all(c.get_rasterized() and c.get_linewidth()[0] == 0 for c in _collections(artists.axes))


def test_sentence_tells_what_the_figure_shows(sweep: Sweep, two_experts: Sweep) -> None:
    assert describe_tradeoff([sweep]) == "8 points, 4 on the front; best: 1 MB at 99.1 %"
    assert describe_tradeoff([two_experts]).startswith("15 points, 8 on the front; best: 1 MB at")
    assert describe_tradeoff([]).startswith("No points yet")


def _contrast(one: str, other: str) -> float:
    def luminance(color: str) -> float:
        parts = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
        red, green, blue = (
            p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=["light", "dark"])
def test_both_looks_can_be_read(look: Any) -> None:
    for ground in (look.ground, look.shade):
        for text in (look.text, look.text_2, look.text_3):
            assert _contrast(text, ground) >= 4.5
        for mark in (look.accent, look.bad, *(series.edge for series in look.series)):
            assert _contrast(mark, ground) >= 3.0
    assert _contrast(look.line_strong, look.ground) >= 3.0
    assert len({series.marker for series in look.series}) == len(look.series)


def test_drawing_again_replaces_the_old(sweep: Sweep) -> None:
    figure = _figure()

    for look in (LIGHT, DARK):
        draw_tradeoff(figure, [sweep], look=look)

    assert len(figure.axes) == len(figure.legends) == 1
    assert to_hex(figure.get_facecolor()) == DARK.ground.lower()


def test_figures_need_neither_torch_nor_pyplot_nor_matplotlib_at_import() -> None:
    code = (
        "import sys, deltaworks.figures as f; bad = {'torch', 'matplotlib'} & set(sys.modules);"
        "from matplotlib.figure import Figure; f.draw_tradeoff(Figure(), []);"
        "sys.exit(bool(bad | ({'torch', 'matplotlib.pyplot'} & set(sys.modules))))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
