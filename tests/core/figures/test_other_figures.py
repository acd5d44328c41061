from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from deltaworks.engine.reports import TensorReport
from deltaworks.errors import FileError, OptionError
from deltaworks.figures import (
    DARK,
    LIGHT,
    draw_layers,
    draw_sizes,
    draw_tradeoff,
    look,
    save_figure,
    use_fonts,
)
from deltaworks.studies.trials import Sweep


def _tensor(name: str, error: float, energy: float = 1.0) -> TensorReport:
    return TensorReport(name, "sign", 10, 80.0, 100, error, energy)


TENSORS = [
    _tensor("model.layers.0.self_attn.q_proj.weight", 0.2, 3.0),
    _tensor("model.layers.0.mlp.up_proj.weight", 0.6, 1.0),
    _tensor("model.layers.10.mlp.up_proj.weight", 0.4),
    _tensor("lm_head.weight", 0.1),
    _tensor("model.norm.weight", 0.0),
]


def test_blocks_pool_their_tensors_by_energy() -> None:
    drawn, errors = draw_layers(Figure(), TENSORS)

    axes: Any = drawn
    assert [error.block for error in errors] == [-1, 0, 10]
    assert [error.error for error in errors] == pytest.approx([0.1, 0.3, 0.4])
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([0.1, 0.3, 0.4])
    assert axes.collections[0].get_offsets().tolist() == [[0, 0.1], [1, 0.2], [1, 0.6], [2, 0.4]]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["other", "0", "10"]


def test_blocks_without_known_energy_count_by_size() -> None:
    unknown = [_tensor("a.0.b", 0.2, 0.0), _tensor("a.0.c", 0.4, 0.0)]

    _, errors = draw_layers(Figure(), unknown)

    assert errors[0].error == pytest.approx(0.3)


def test_exact_files_have_no_layers_to_show() -> None:
    axes, errors = draw_layers(Figure(), TENSORS[-1:])

    assert errors == []
    assert "every one is stored exactly" in axes.texts[0].get_text()


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_bars_add_up_to_the_file(theme: Any) -> None:
    bars = [
        ("sign", {"codes": 200_000, "exact": 60_000, "header": 20_000}),
        ("dare", {"codes": 9}),
    ]

    axes: Any = draw_sizes(Figure(), bars, look=theme)

    widths = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert widths == [(0, 200_000), (200_000, 60_000), (260_000, 20_000), (0, 9)]
    assert [text.get_text() for text in axes.texts] == ["280 kB", "9 B"]
    axes.figure.canvas.draw()


def test_no_files_say_so() -> None:
    assert "No file" in draw_sizes(Figure(), []).texts[0].get_text()


@pytest.mark.parametrize(
    ("kind", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_saved_figure_names_app_and_sweep(
    tmp_path: Path, sweep: Sweep, kind: str, magic: bytes
) -> None:
    paths = []
    for name in ("one", "two"):
        figure = Figure(figsize=(6, 4))
        draw_tradeoff(figure, [sweep])
        paths.append(save_figure(figure, tmp_path / f"{name}.{kind}", 100, {"sweep": "s-17"}))

    data = paths[0].read_bytes()
    assert data.startswith(magic)
    assert b"deltaworks 0." in data
    assert b"sweep=s-17" in data
    assert data == paths[1].read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"one.{kind}", f"two.{kind}"]


def test_dpi_sets_the_size_of_a_picture(tmp_path: Path, sweep: Sweep) -> None:
    from PIL import Image

    figure = Figure(figsize=(6, 4))
    draw_tradeoff(figure, [sweep])

    path = save_figure(figure, tmp_path / "plot.png", 300)

    with Image.open(path) as picture:
        assert picture.size == (1800, 1200)


def test_bad_places_and_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"unknown ending '\.gif'"):
        save_figure(Figure(), tmp_path / "a.gif")
    with pytest.raises(OptionError, match="dpi is 5000"):
        save_figure(Figure(), tmp_path / "a.png", 5000)
    with pytest.raises(FileError, match="cannot be written"):
        save_figure(Figure(), tmp_path / "gone" / "a.png")


def test_bundled_fonts_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import font_manager

    from deltaworks_resources import font_files

    font = font_manager.fontManager
    monkeypatch.setattr(font, "ttflist", [e for e in font.ttflist if e.name != "Inter"])
    name = next(name for name, _ in font_files() if name == "Inter-Regular.otf")
    look._installed.cache_clear()
    before = LIGHT.fonts
    use_fonts([Path(str(files("deltaworks_resources") / "fonts" / name))])
    after = LIGHT.fonts

    assert (before, after) == (["DejaVu Sans"], ["Inter", "DejaVu Sans"])
    look._installed.cache_clear()
