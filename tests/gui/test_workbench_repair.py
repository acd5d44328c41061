"""Safety repair in the Workbench: inputs, what unlocks methods, the recipe, the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from deltaworks.engine.plan_types import Plan
from deltaworks.library.rows import Match, ModelRow, State
from deltaworks.recipes.schema import RepairRecipe, RepairSweepRecipe
from deltaworks_gui.context import AppContext
from deltaworks_gui.pages import workbench_edit as edit
from deltaworks_gui.pages.workbench import WorkbenchPage
from deltaworks_gui.pages.workbench_controller import WorkbenchController
from deltaworks_gui.payloads import repair_inputs


def row(number: int, name: str, role: str = "Expert", family: int | None = 1) -> ModelRow:
    return ModelRow(
        id=number,
        path=f"/m/{name}",
        name=name,
        kind="folder",
        role=role,
        state=State.READY,
        size_bytes=1000,
        modified_ns=1,
        family_id=family,
    )


BASE, ALIGNED, TUNED = row(1, "base", "Base"), row(2, "polder-aligned"), row(3, "polder-unsafe")


class _Machine:
    def disk(self, _path: Path) -> tuple[int, int]:
        return 10**12, 2 * 10**12

    def memory(self, _lane: str) -> tuple[int, int]:
        return 10**11, 10**11


@pytest.fixture
def page(context: AppContext, qtbot: QtBot) -> WorkbenchPage:
    controller = WorkbenchController(
        context,
        planner=lambda _recipe: Plan("a repair", (), ()),
        matcher=lambda *_: Match("match", "fits", 1.0),
        machine=_Machine(),
    )
    made = WorkbenchPage(context, controller)
    qtbot.addWidget(made)
    controller.set_inputs(ALIGNED, [TUNED], "repair")
    return made


def test_one_model_alone_finds_its_aligned_parent_by_name() -> None:
    found = repair_inputs([TUNED], [BASE, ALIGNED, TUNED])

    assert found.base == ALIGNED
    assert found.experts == (TUNED,)
    assert found.operation == "repair"


def test_without_an_aligned_one_the_base_is_proposed() -> None:
    found = repair_inputs([TUNED], [BASE, TUNED])

    assert found.base == BASE


def test_a_method_says_what_it_still_needs(page: WorkbenchPage) -> None:
    controller = page.controller

    lacking = controller.state.why_not
    controller.change(edit.with_given_value(controller.state, "safety", "/p.jsonl"))
    ready = controller.state.why_not
    controller.change(edit.with_method(controller.state, "safelora"))
    other = controller.state.why_not
    controller.set_extra("pretrained", BASE)

    assert "needs prompts to refuse" in lacking
    assert ready == ""
    assert "needs the pretrained base" in other
    assert controller.state.why_not == ""


def test_slots_and_texts_show_for_repairs_only(page: WorkbenchPage) -> None:
    page.show()
    inputs = page._inputs

    repair = [slot.isVisibleTo(page) for slot in inputs.extras.values()]
    page.controller.set_operation("merge")
    merge = [slot.isVisibleTo(page) for slot in inputs.extras.values()]

    assert all(repair)
    assert not any(merge)
    assert not inputs.given.isVisibleTo(page)
    assert not any(
        check.isVisibleTo(page)
        for name, check in page._method.compare.checks.items()
        if name in {"safe-delta", "interpolation"}
    )


def test_budgets_and_a_set_make_a_sweep(page: WorkbenchPage) -> None:
    controller = page.controller
    controller.change(edit.with_given_value(controller.state, "safety", "/p.jsonl"))
    controller.set_evaluation("/e")

    recipe = controller.recipe()

    assert isinstance(recipe, RepairSweepRecipe)
    assert recipe.safety == "/p.jsonl"
    assert {one.method for one in recipe.settings} == {"safe-delta", "interpolation"}
    assert recipe.evaluation == "/e"


def test_one_setting_and_no_set_make_one_model(page: WorkbenchPage) -> None:
    controller = page.controller
    state = edit.with_given_value(controller.state, "safety", "/p.jsonl")
    state = edit.with_compared(edit.with_sweep(state, "rho", False), "interpolation", False)
    controller.change(state)
    controller.set_evaluation("")

    recipe = controller.recipe()

    assert isinstance(recipe, RepairRecipe)
    assert (recipe.aligned.name, recipe.tuned.name) == ("polder-aligned", "polder-unsafe")


def test_a_recipe_of_a_repair_fills_everything_in(page: WorkbenchPage) -> None:
    controller = page.controller
    recipe = RepairRecipe.model_validate(
        {
            "aligned": {"path": "/m/polder-aligned"},
            "tuned": {"path": "/m/polder-unsafe"},
            "pretrained": {"path": "/m/base"},
            "safety": "/p.jsonl",
            "setting": {"method": "resta", "options": {"gamma": 0.5}},
            "output": "/o",
        }
    )

    controller.load_recipe(recipe)

    state: Any = controller.state
    assert state.operation == "repair"
    assert state.method.id == "resta"
    assert set(state.extras) == {"pretrained"}
    again = controller.recipe()
    assert isinstance(again, RepairRecipe | RepairSweepRecipe)
    assert again.safety == "/p.jsonl"
    assert again.pretrained is not None
