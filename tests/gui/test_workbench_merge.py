"""Merges in the Workbench: checks, values of layers, classes of methods, texts, compare all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QDialog, QLabel, QPushButton, QTreeView
from pytestqt.qtbot import QtBot

from deltaworks.engine.plan_types import Check, ParameterRow, Plan
from deltaworks.errors import MismatchError, OptionError
from deltaworks.library.rows import Match, ModelRow, State
from deltaworks.methods import MERGING
from deltaworks.methods.merging.taxonomy import CLASSES, members
from deltaworks.progress import JobControl
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.schema import ContestRecipe, MergeRecipe
from deltaworks_gui.context import AppContext
from deltaworks_gui.dialogs.parameters import fold
from deltaworks_gui.pages import workbench_edit as edit
from deltaworks_gui.pages.workbench import WorkbenchPage
from deltaworks_gui.pages.workbench_contest import disk_bytes, why_no_contest
from deltaworks_gui.pages.workbench_controller import WorkbenchController
from deltaworks_gui.pages.workbench_cost import work_out
from deltaworks_gui.pages.workbench_recipe import JobRecipe
from deltaworks_gui.payloads import ResultsSweep
from deltaworks_gui.widgets.check_list import CheckList
from deltaworks_gui.widgets.grouped_choice import GroupedChoice

T = TypeVar("T", bound=QObject)


def find(parent: QObject, kind: type[T], name: str) -> T:
    found = parent.findChild(kind, name)
    assert isinstance(found, kind), name
    return found


def row(number: int, name: str, role: str = "Expert") -> ModelRow:
    return ModelRow(number, f"/m/{name}", name, "folder", role, State.READY, 1000, 1)


BASE, SUMS, WORDS = row(1, "base", "Base"), row(2, "sums"), row(3, "words")
CHECKS = (
    Check("families", "ok", "All models are qwen3."),
    Check("tensors", "warning", "2 tensors of the inputs are not in the result (a, b)."),
    Check("dtypes", "note", "Types differ (base: BF16, sums: F32); the result is BF16."),
    Check("heads", "ok", "All models have a head of their own."),
)


def parameter(layer: int | None, weight: float = 0.5) -> ParameterRow:
    names = ("norm.weight",) if layer is None else ("mlp.up.weight", "mlp.down.weight")
    return ParameterRow(
        layer, names, "ties", ("sums", "words"), {"scale": 1.0}, ({"weight": weight}, {})
    )


PARAMETERS = (parameter(None), *(parameter(layer) for layer in range(4)), parameter(4, 0.9))


def plan(_recipe: JobRecipe) -> Plan:
    return Plan("a merge", (), (), checks=CHECKS, parameters=PARAMETERS)


class _Machine:
    def disk(self, _path: Path) -> tuple[int, int]:
        return 10**11, 2 * 10**11

    def memory(self, _lane: str) -> tuple[int, int]:
        return 10**11, 10**11


@pytest.fixture
def bench(context: AppContext) -> WorkbenchController:
    made = WorkbenchController(
        context,
        planner=plan,
        matcher=lambda *_: Match("match", "fits", 1.0),
        machine=_Machine(),
    )
    made.set_inputs(BASE, [SUMS, WORDS], "merge")
    return made


@pytest.fixture
def page(
    context: AppContext, bench: WorkbenchController, qtbot: QtBot
) -> Callable[[], WorkbenchPage]:
    """Open the page and wait for the plan."""

    def make() -> WorkbenchPage:
        made = WorkbenchPage(context, bench)
        qtbot.addWidget(made)
        made.resize(1200, 760)
        made.show()
        qtbot.waitUntil(lambda: bench.state.cost is not None and not bench.state.is_planning)
        return made

    return make


# Checks and values


def test_warnings_and_notes_stand_in_lines_and_what_passed_in_one(
    page: Callable[[], WorkbenchPage],
) -> None:
    shown = page()
    checks = find(shown, CheckList, "CheckList")

    assert [(line.state, line.text) for line in checks.lines] == [
        ("warn", CHECKS[1].text),
        ("info", CHECKS[2].text),
        ("good", "2 checks passed"),
    ]


def test_checks_are_for_merges_only(page: Callable[[], WorkbenchPage]) -> None:
    shown = page()
    shown.controller.set_operation("compress")

    assert not find(shown, CheckList, "CheckList").isVisible()
    assert not find(shown, QPushButton, "btn_parameters").isVisible()
    assert not find(shown, QPushButton, "btn_compare_all").isVisible()


def test_a_merge_that_cannot_run_says_all_that_is_wrong(bench: WorkbenchController) -> None:
    def refuse(_recipe: JobRecipe) -> Plan:
        raise MismatchError("two faults")

    faults = (
        Check("tensors", "fault", "up_proj has two shapes."),
        Check("vocabulary", "fault", "Tokens differ."),
    )
    recipe = bench.recipe()
    assert recipe is not None

    cost = work_out(recipe, "cpu", refuse, _Machine(), JobControl(), lambda _recipe: faults)
    bench._on_planned(cost)

    assert cost.checks == faults
    assert bench.state.why_not == "2 checks failed: see Checked before."


def test_layers_that_are_alike_share_a_row() -> None:
    folded = fold(PARAMETERS)

    assert [one.layers for one in folded] == ["", "0–3", "4"]
    assert folded[1].row.each[0] == {"weight": 0.5}


def test_the_button_shows_the_values_of_all_layers(page: Callable[[], WorkbenchPage]) -> None:
    shown = page()

    find(shown, QPushButton, "btn_parameters").click()

    dialog = find(shown.window(), QDialog, "DlgParameters")
    model = find(dialog, QTreeView, "ParameterView").model()
    texts = [[str(model.index(r, c).data()) for c in range(5)] for r in range(model.rowCount())]
    assert texts[1] == [
        "0–3",
        "mlp.up.weight, mlp.down.weight",
        "TIES",
        "scale 1",
        "sums: weight 0.5; words",
    ]
    dialog.reject()


# Methods


def test_methods_stand_under_the_classes_of_the_survey(page: Callable[[], WorkbenchPage]) -> None:
    shown = page()
    combo = find(shown, GroupedChoice, "MethodCombo")

    headings = [combo.itemText(at) for at in range(combo.count()) if combo.itemData(at) is None]
    first = [combo.itemData(at) for at in range(1, 1 + len(members("direct")))]
    model = combo.model()
    assert headings == [one.title for group, one in CLASSES.items() if members(group)]
    assert first == [one.id for one in members("direct")]
    assert not model.flags(model.index(0, 0)) & Qt.ItemFlag.ItemIsEnabled
    assert combo.current == "ties"


def test_a_greyed_method_says_what_unlocks_it(page: Callable[[], WorkbenchPage]) -> None:
    shown = page()
    combo = find(shown, GroupedChoice, "MethodCombo")

    def tip(method: str) -> str:
        return str(combo.itemData(combo.findData(method), Qt.ItemDataRole.ToolTipRole))

    def color(method: str) -> object:
        return combo.itemData(combo.findData(method), Qt.ItemDataRole.ForegroundRole)

    assert "needs one expert alone" in tip("slerp")
    assert "texts of each expert's task (not yet of sums, words)" in tip("regmean")
    assert color("regmean") == color("slerp") != color("ties")
    assert "Cannot run" not in tip("ties")
    assert MERGING["ties"].cost in tip("ties")


def test_texts_of_every_expert_unlock_a_method(bench: WorkbenchController) -> None:
    bench.change(edit.with_method(bench.state, "regmean"))
    lacking = bench.state.why_not
    for place, path in enumerate(("/t/sums.jsonl", "/t/words.jsonl")):
        bench.change(edit.with_expert_option(bench.state, place, "texts", path))

    recipe = bench.recipe()

    assert lacking.startswith("RegMean needs texts of each expert's task")
    assert bench.state.why_not == ""
    assert isinstance(recipe, MergeRecipe)
    assert [one.texts for one in recipe.experts] == ["/t/sums.jsonl", "/t/words.jsonl"]
    assert all("texts" not in one.options for one in recipe.experts)


def test_result_options_of_a_merge_come_back_from_its_recipe(bench: WorkbenchController) -> None:
    wanted = {"numerics": "mergekit-0.1.5", "vocabulary": "pad", "chat_template": "chatml"}
    for name, value in wanted.items():
        bench.change(edit.with_result_value(bench.state, name, value))
    recipe = bench.recipe()
    assert isinstance(recipe, MergeRecipe)
    bench.set_inputs(BASE, [SUMS], "compress")

    bench.load_recipe(dump_recipe(recipe))

    assert {name: getattr(recipe, name) for name in wanted} == wanted
    assert {name: bench.state.result.values.get(name) for name in wanted} == wanted


# Compare all


def test_comparing_needs_two_experts_and_tasks(bench: WorkbenchController) -> None:
    without = why_no_contest(bench.state)
    bench.set_evaluation("/e/text.txt")
    texts = why_no_contest(bench.state)
    bench.set_evaluation("/e/tasks")
    ready = why_no_contest(bench.state)
    bench.change(edit.with_enabled(bench.state, 1, False))

    assert without.startswith("Choose a folder of tasks")
    assert texts == without
    assert ready == ""
    assert why_no_contest(bench.state) == "Tick at least 2 experts to compare merges."


def test_compare_all_queues_a_contest_and_shows_the_results(
    page: Callable[[], WorkbenchPage],
    bench: WorkbenchController,
    context: AppContext,
    qtbot: QtBot,
) -> None:
    asked: list[tuple[str, object]] = []
    context.navigator.page_asked.connect(lambda name, payload: asked.append((name, payload)))
    shown = page()
    button = find(shown, QPushButton, "btn_compare_all")
    was_ready = button.isEnabled()
    bench.set_evaluation("/e/tasks")
    qtbot.waitUntil(lambda: not bench.state.is_planning)

    button.click()

    job = context.queue.jobs()[0]
    recipe = ContestRecipe.model_validate(job.recipe)
    assert not was_ready
    assert [one.model.path for one in recipe.experts] == [SUMS.path, WORDS.path]
    assert (recipe.evaluation, recipe.settings, recipe.keep) == ("/e/tasks", (), "best")
    assert recipe.disk_bytes == disk_bytes(bench.state) == 5 * 10**10
    assert job.name == "Compare merges of sums, words"
    assert asked == [("Results", ResultsSweep(job_id=job.id))]
    assert "methods" in find(shown, QLabel, "CompareHint").text()
    qtbot.waitUntil(lambda: not context.queue.busy, timeout=5000)


def test_a_contests_recipe_fills_the_inputs_in(bench: WorkbenchController) -> None:
    bench.set_evaluation("/e/tasks")
    made = ContestRecipe.model_validate(
        {
            "base": {"path": "/m/base"},
            "experts": [
                {"model": {"path": "/m/sums"}, "texts": "/t.jsonl"},
                {"model": {"path": "/m/words"}},
            ],
            "evaluation": "/other/tasks",
            "output": "/o",
        }
    )
    bench.set_inputs(None, [], "compress")

    bench.load_recipe(dump_recipe(made))

    state = bench.state
    assert (state.operation, state.evaluation) == ("merge", "/other/tasks")
    assert [one.row.path for one in state.experts] == ["/m/sums", "/m/words"]
    assert state.experts[0].options == {"texts": "/t.jsonl"}
    searched = {**dump_recipe(made), "search": {"trials": 8}}
    with pytest.raises(OptionError, match="no place for a comparison's own settings"):
        bench.load_recipe(searched)
