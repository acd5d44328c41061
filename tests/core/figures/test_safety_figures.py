from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from deltaworks.figures import draw_safety_layers, draw_safety_tradeoff
from deltaworks.figures.safety_layers import EMPTY, heat_maps
from deltaworks.studies.trials import Reference, Sweep, Trial


def _measure(value: float, *, estimate: bool = False) -> dict[str, Any]:
    ends = {"low": None, "high": None} if estimate else {"low": value - 0.1, "high": value + 0.1}
    return {"title": "Share", "value": value, "is_estimate": estimate, **ends}


def _trial(number: int, method: str, utility: float, refusal: float, **more: Any) -> Trial:
    measures = {"utility": _measure(utility), "refusal": _measure(refusal)}
    return Trial(
        number, "child", "/child", method, method.title(), {}, settings=f"rho {number / 10:g}",
        state="done", measures=measures | {"over-refusal": _measure(0.01 * number)}, **more,
    )  # fmt: skip


@pytest.fixture
def sweep() -> Sweep:
    trials = (
        _trial(1, "safe-delta", 0.2, 1.0, on_front=True),
        _trial(2, "safe-delta", 0.7, 0.9, on_front=True, recommended=True),
        _trial(3, "interpolation", 0.5, 0.6),
        replace(_trial(4, "interpolation", 0.9, 0.1), state="failed"),
    )
    ends = [
        Reference(kind, "child", label, 0, None, {"utility": _measure(x), "refusal": _measure(y)})
        for kind, label, x, y in (
            ("base", "aligned model", 0.1, 1.0),
            ("expert", "fine-tune", 1.0, 0.0),
        )
    ]
    return Sweep("s", "t", "", "aligned", "/a", trials, tuple(ends), "done")


def _texts(figure: Figure) -> list[str]:
    from matplotlib.text import Text

    return [one.get_text() for one in figure.findobj(Text) if one.get_text()]


def test_every_measured_repair_is_a_point_with_stars_at_the_ends(sweep: Sweep) -> None:
    figure = Figure(figsize=(10, 5))

    found = draw_safety_tradeoff(figure, [sweep], target=0.95)

    assert found.points == [("s", 1, 0.2, 1.0), ("s", 2, 0.7, 0.9), ("s", 3, 0.5, 0.6)]
    stars = [line for line in found.axes.get_lines() if line.get_marker() == "*"]
    assert [tuple(np.ravel(line.get_xydata())) for line in stars] == [(0.1, 1), (1, 0)]
    texts = _texts(figure)
    assert "\u2605 Safe-Delta rho 0.2" in texts
    assert {"aligned model", "fine-tune", "0.3", "Over-refusal (%)"} <= set(texts)
    assert any(np.array_equal(line.get_ydata(), [0.95, 0.95]) for line in found.axes.get_lines())
    assert found.beside is not None


def test_proxies_are_hollow_and_said_to_be(sweep: Sweep) -> None:
    measures = {"utility": _measure(0.5, estimate=True), "refusal": _measure(0.5, estimate=True)}
    trials = tuple(replace(trial, measures=measures) for trial in sweep.trials[:2])
    figure = Figure(figsize=(8, 5))

    found = draw_safety_tradeoff(figure, [replace(sweep, trials=trials)])

    assert found.beside is None
    assert "proxy" in found.axes.get_ylabel()


def test_nothing_yet_is_said(sweep: Sweep) -> None:
    figure = Figure(figsize=(8, 5))

    draw_safety_tradeoff(figure, [replace(sweep, trials=())])

    assert any("No repairs yet" in text for text in _texts(figure))


LAYERS = {
    f"model.layers.{block}.{layer}.weight": {
        "admitted_share": 0.1 * block,
        "damage_share": 0.2,
        "delta_norm": 2.0,
        "out_norm": 1.0,
    }
    for block in range(3)
    for layer in ("self_attn.q_proj", "mlp.up_proj")
}


def test_layers_are_laid_out_by_block_and_module() -> None:
    maps = heat_maps(LAYERS)

    assert [one.title for one in maps] == ["Share let back in", "Share of the damage left"]
    assert maps[0].blocks == (0, 1, 2)
    assert maps[0].modules == ("self_attn.q_proj", "mlp.up_proj")
    assert maps[0].values[0] == pytest.approx((0.0, 0.1, 0.2))
    without = {name: {"delta_norm": 2.0, "out_norm": 1.0} for name in LAYERS}
    assert heat_maps(without)[0].values[1] == (0.25, 0.25, 0.25)


def test_heat_maps_are_drawn() -> None:
    figure = Figure(figsize=(10, 4))

    assert len(draw_safety_layers(figure, LAYERS)) == 2
    assert "self_attn.q_proj" in _texts(figure)
    assert draw_safety_layers(figure, {}) == []
    assert EMPTY in _texts(figure)
