"""The Playground with a scripted engine: one base, swaps, stop, blind, another base."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPlainTextEdit, QPushButton
from pytestqt.qtbot import QtBot

from deltaworks.library.rows import ModelRow, State
from deltaworks.progress import Measured
from deltaworks_gui.context import AppContext
from deltaworks_gui.pages.playground import PlaygroundPage
from deltaworks_gui.pages.playground_controller import PlaygroundController
from deltaworks_gui.pages.playground_state import first_choice
from deltaworks_gui.payloads import LibraryChoice


def row(number: int, name: str, role: str, family: int | None, **more: Any) -> ModelRow:
    values: dict[str, Any] = {
        "id": number,
        "path": f"/m/{name}",
        "name": name,
        "kind": "folder",
        "role": role,
        "state": State.READY,
        "size_bytes": 14_000_000_000,
        "modified_ns": 1,
        "family_id": family,
        "family": "base",
    }
    return ModelRow(**(values | more))


ROWS = (
    row(1, "base", "Base", 1),
    row(2, "math", "Expert", 1),
    row(3, "small", "Delta", 1),
    row(9, "other", "Expert", 9),
)


def answer(text: str, how: str = "swapped") -> dict[str, Any]:
    """What a script needs to act one answer out."""
    found = {"text": text, "seconds_per_token": 0.01, "memory_bytes": 5, "how": how}
    half = len(text) // 2
    return {
        "steps": 3,
        "seconds": 0.02,
        "events": {
            0: Measured("loaded", {"how": how, "load_seconds": 0.2}),
            1: Measured("text", {"text": text[:half]}),
            2: Measured("text", {"text": text[half:]}),
        },
        "report": {"artefacts": [], "warnings": [], "results": {"generation": found}},
    }


@pytest.fixture
def page(context: AppContext, engine: Any, qtbot: QtBot) -> Any:
    controller = PlaygroundController(context, engine.make)
    made = PlaygroundPage(context, controller)
    qtbot.addWidget(made)
    made.resize(1100, 700)
    made.show()
    controller._on_rows(list(ROWS))
    yield made
    assert made.end(), "the playground's engine did not end"


def texts(page: PlaygroundPage) -> list[str]:
    return [pane.text for pane in page.controller.state.panes]


def test_a_base_and_what_descends_from_it_answer_side_by_side(
    page: PlaygroundPage, engine: Any, script: Any, qtbot: QtBot
) -> None:
    engine.scripts = [script(**answer("six", "loaded")), script(**answer("five"))]
    page.controller.choose_base(ROWS[0])
    page.prompt.setPlainText("3 + 2 =")

    QTest.keyClick(page.prompt, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: not page.controller.state.is_busy and texts(page) == ["six", "five"])

    assert [recipe["model"]["path"] for recipe in engine.recipes] == ["/m/base", "/m/math"]
    assert engine.engines == 1
    assert [pane.how for pane in page.controller.state.panes] == ["loaded", "swapped"]
    output = page.findChild(QPlainTextEdit, "PaneOutput_1")
    assert output is not None
    assert output.toPlainText() == "five"


def test_three_swaps_use_one_engine_and_a_delta_brings_its_base(
    page: PlaygroundPage, engine: Any, script: Any, qtbot: QtBot
) -> None:
    engine.scripts = [script(**answer("x"))]
    page.controller.choose_base(ROWS[0])
    page.controller.add_pane()
    page.controller.choose(2, 3)
    page.prompt.setPlainText("hello")

    page.controller.send()
    qtbot.waitUntil(lambda: texts(page) == ["x", "x", "x"] and not page.controller.state.is_busy)

    assert engine.engines == 1
    assert engine.recipes[2]["base"]["path"] == "/m/base"
    assert "base" not in engine.recipes[0]


def test_stop_leaves_what_was_written(
    page: PlaygroundPage, engine: Any, script: Any, qtbot: QtBot
) -> None:
    long = answer("half of it")
    engine.scripts = [script(**(long | {"steps": 200, "seconds": 20.0}))]
    page.controller.choose_base(ROWS[0])
    page.prompt.setPlainText("hello")
    page.controller.send()
    qtbot.waitUntil(lambda: page.controller.state.panes[0].text != "")

    with qtbot.waitSignal(page.controller.changed, timeout=1000):
        assert page.escape()
    qtbot.waitUntil(lambda: not page.controller.state.is_busy, timeout=1000)

    assert page.controller.state.panes[0].state == "stopped"
    assert page.controller.state.panes[0].text


def test_another_base_is_asked_for_before_it_is_loaded(
    page: PlaygroundPage, engine: Any, script: Any, qtbot: QtBot
) -> None:
    engine.scripts = [script(**answer("x"))]
    page.controller.choose_base(ROWS[0])
    page.controller.choose(1, 9)
    page.prompt.setPlainText("hello")

    page.controller.send()
    qtbot.waitUntil(lambda: texts(page)[0] == "x" and not page.controller.state.is_busy)
    asked = page.controller.state.panes[1].state
    n_before = len(engine.recipes)
    load = page.findChild(QPushButton, "btn_load_1")
    assert load is not None
    was_visible = load.isVisible()
    load.click()
    qtbot.waitUntil(lambda: texts(page)[1] == "x")

    assert asked == "asks"
    assert was_visible
    assert n_before == 1
    assert engine.recipes[-1]["model"]["path"] == "/m/other"


def test_blind_hides_every_name_until_it_is_revealed(page: PlaygroundPage) -> None:
    page.controller.choose_base(ROWS[0])

    page.controller.set_blind(True)
    hidden = [pane.model.isVisible() for pane in page.panes[:2]]
    models = {pane.model for pane in page.controller.state.panes}
    page.controller.set_blind(False)

    assert hidden == [False, False]
    assert models == {1, 2}
    assert [pane.model.isVisible() for pane in page.panes[:2]] == [True, True]


def test_a_comparison_is_saved_with_names(page: PlaygroundPage, tmp_path: Path) -> None:
    page.controller.choose_base(ROWS[0])
    page.controller._set_pane(0, replace(page.controller.state.panes[0], text="six"))

    page.save_comparison(str(tmp_path / "c.md"))

    saved = (tmp_path / "c.md").read_text()
    assert "## base" in saved
    assert "six" in saved


def test_a_failure_is_said_in_its_pane(
    page: PlaygroundPage, engine: Any, script: Any, qtbot: QtBot
) -> None:
    from deltaworks.errors import MismatchError

    error = MismatchError("no tokenizer beside the weights", fix="Add tokenizer.json")
    engine.scripts = [script(error=error, ends_at=1, steps=2)]
    page.controller.choose_base(ROWS[0])
    page.prompt.setPlainText("hello")

    page.controller.send()
    qtbot.waitUntil(lambda: page.controller.state.panes[0].state == "failed")

    assert "tokenizer" in page.controller.state.panes[0].error


def test_nothing_can_be_sent_without_a_model_and_a_prompt(page: PlaygroundPage) -> None:
    no_model = page.controller.why_not()
    page.controller.choose_base(ROWS[0])
    no_prompt = page.controller.why_not()
    page.prompt.setPlainText("x")

    assert no_model == "Choose a model first."
    assert no_prompt == "Write a prompt first."
    assert page.controller.why_not() == ""


def test_what_another_page_points_at_stands_beside_its_base(page: PlaygroundPage) -> None:
    page.controller.want(LibraryChoice(("/m/small",)).paths)

    assert [pane.model for pane in page.controller.state.panes] == [1, 3]


def test_experts_come_before_deltas_when_a_base_is_chosen() -> None:
    assert first_choice(ROWS, ROWS[0]) == (1, 2)
