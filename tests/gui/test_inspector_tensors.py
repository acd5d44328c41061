"""A model's tensors in the Inspector: lazy, filtered and sorted as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from deltaworks.engine import run
from deltaworks.progress import JobControl
from deltaworks.recipes import parse_recipe
from deltaworks_gui.docks.inspector_tensors import TensorsView, read_tensors
from deltaworks_gui.lanes.tasks import TaskPool
from deltaworks_gui.models.tensors import COLUMNS, PAGE, TensorModel, TensorRow
from deltaworks_resources import demo_folder


def row(number: int, error: float | None = None) -> TensorRow:
    name = f"model.layers.{number}.mlp.up_proj.weight"
    return TensorRow(name, (4, number), "BF16", 8 * number, f"block {number} · mlp.up_proj", error)


@pytest.fixture
def tasks(qapp: object) -> Iterator[TaskPool]:
    pool = TaskPool()
    yield pool
    assert pool.close()


def column(model: TensorModel, name: str) -> list[Any]:
    place = COLUMNS.index(name)
    return [model.index(at, place).data() for at in range(model.rowCount())]


def test_a_hundred_thousand_tensors_are_shown_in_pages_and_filtered_as_a_whole() -> None:
    model = TensorModel()
    model.show_rows([row(number) for number in range(100_000)])
    shown = model.rowCount()

    model.fetchMore(model.index(-1, -1))
    more = model.rowCount()
    model.filter_by("layers.99999. up_proj")

    assert (shown, more) == (PAGE, 2 * PAGE)
    assert column(model, "name") == ["model.layers.99999.mlp.up_proj.weight"]
    assert model.total_bytes == 8 * 99_999


def test_sorting_is_by_raw_values_with_unknown_ones_last() -> None:
    model = TensorModel()
    model.show_rows([row(2, 0.5), row(10), row(3, 0.1)])

    model.sort(COLUMNS.index("error"), Qt.SortOrder.DescendingOrder)
    by_error = column(model, "error")
    model.sort(COLUMNS.index("size"), Qt.SortOrder.AscendingOrder)

    assert by_error == ["50 %", "10 %", ""]
    assert column(model, "size") == ["16 B", "24 B", "80 B"]


@pytest.mark.parametrize("count", [0, 3, 1200])
def test_the_model_holds_qts_rules(count: int, qtmodeltester: Any) -> None:
    model = TensorModel()
    model.show_rows([row(number) for number in range(count)])

    qtmodeltester.check(model)


def test_headers_are_read_when_the_tab_is_opened(tasks: TaskPool, qtbot: QtBot) -> None:
    view = TensorsView(tasks)
    qtbot.addWidget(view)

    view.show_path(str(demo_folder() / "polder-base"))
    qtbot.waitUntil(lambda: view.model.total > 0)
    view.search.setText("embed")
    qtbot.waitUntil(lambda: view.model.total == 1)

    assert column(view.model, "group") == ["embedding"]
    assert view.table.isColumnHidden(COLUMNS.index("error"))


def test_what_cannot_be_opened_is_said_in_its_place(tasks: TaskPool, qtbot: QtBot) -> None:
    view = TensorsView(tasks)
    qtbot.addWidget(view)

    view.show_path("/no/such/model")

    qtbot.waitUntil(lambda: "is not there" in view._sums.text())


def test_a_delta_says_how_far_each_tensor_is_off(tmp_path: Any) -> None:
    recipe = parse_recipe(
        {
            "kind": "compress",
            "base": {"path": str(demo_folder() / "polder-base")},
            "experts": [{"path": str(demo_folder() / "polder-sums")}],
            "settings": [{"method": "sign"}],
            "output": str(tmp_path / "d.safetensors"),
        }
    )
    run(recipe, JobControl())  # type: ignore[arg-type]  # a compress recipe

    rows = {one.name: one for one in read_tensors(tmp_path / "d.safetensors", JobControl())}

    matrix = rows["model.layers.0.mlp.up_proj.weight"]
    assert matrix.error is not None
    assert 0.2 < matrix.error < 0.9
    assert matrix.ratio is not None
    assert matrix.ratio > 10
    assert matrix.group == "block 0 · mlp.up_proj"
