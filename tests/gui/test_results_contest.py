"""Comparisons of merges on the Results page: live entries, table, figure, winner, files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PySide6.QtCore import QObject, Qt
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from deltaworks.progress import JobControl, Measured
from deltaworks.recipes.schema import ContestRecipe, MergeRecipe
from deltaworks.studies.contest_plan import CONTEST_FILE
from deltaworks.studies.contest_record import Contest, Entry, Line, Score
from deltaworks_gui.context import AppContext
from deltaworks_gui.models.contest import ContestModel
from deltaworks_gui.pages.results import ResultsPage
from deltaworks_gui.pages.results_contest_files import write_contest_plot, write_contest_table
from deltaworks_gui.pages.results_contest_view import ContestTable
from deltaworks_gui.pages.results_contests import (
    as_sweep,
    merge_again,
    read_contests,
    stopped,
    why_no_merge,
)
from deltaworks_gui.payloads import LibraryChoice, ResultsSweep
from deltaworks_gui.plots.contest import ContestCanvas
from deltaworks_gui.plots.contest_words import skipped_text, winner_text
from deltaworks_gui.widgets.state_cell import StateLabel

T = TypeVar("T", bound=QObject)
TASKS = {"sums": "Two-digit sums", "topics": "Topics"}


def child(parent: QObject, kind: type[T], name: str) -> T:
    found = parent.findChild(kind, name)
    assert isinstance(found, kind), name
    return found


def scores(one: float, other: float) -> dict[str, Score]:
    return {"sums": Score(one, one - 0.04, one + 0.04, 300), "topics": Score(other, n=300)}


def entry(number: int, title: str, both: tuple[float, float] | None, **more: Any) -> Entry:
    method = title.lower().replace(" ", "-")
    values: dict[str, Any] = {
        "options": {},
        "each": [{}, {}],
        "settings": "",
        "state": "done" if both else "failed",
        "reason": "" if both else "Out of memory.",
        "scores": scores(*both) if both else {},
        "average": sum(both) / 2 if both else None,
        "normalised": sum(both) / 2 if both else None,
        "seconds": 0.03,
        "peak_bytes": 1_600_000,
        "n_bytes": 3_270_000,
    }
    return Entry(number, method, title, "direct", **(values | more))


def contest(output: str = "/sweeps/c1") -> Contest:
    recipe = ContestRecipe.model_validate(
        {
            "base": {"path": "/m/base"},
            "experts": [{"model": {"path": "/m/sums"}}, {"model": {"path": "/m/topics"}}],
            "evaluation": "/e",
            "output": output,
        }
    )
    return Contest(
        id="c1",
        title="Merges of sums, topics",
        created="2026-11-22T12:00:00+00:00",
        base="base",
        base_path="/m/base",
        experts=("sums", "topics"),
        tasks=TASKS,
        entries=(
            entry(1, "Linear", (0.7, 0.6)),
            entry(
                2,
                "Task arithmetic",
                (0.9, 0.8),
                settings="scale 0.7",
                options={"scale": 0.7},
                winner=True,
                artefact="/sweeps/c1/task-arithmetic-2",
            ),
            entry(3, "TIES", (0.5, 0.7), options={"scale": 0.5}, each=[{"density": 0.3}, {}]),
            replace(entry(4, "EMR-merging", (0.99, 0.95), switches=True), method="emr"),
            entry(5, "RegMean", None),
        ),
        lines=(
            Line("base", "base", scores(0.4, 0.5), 0.45),
            Line("expert", "sums", scores(1.0, 0.3), 0.65, 0.7, "sums"),
        ),
        experts_average=0.9,
        skipped={"slerp": "takes at most 1 expert"},
        winner=2,
        state="done",
        data="Two-digit sums (300 items)",
        recipe=json.loads(recipe.model_dump_json()),
    )


@pytest.fixture
def page(context: AppContext, qtbot: QtBot) -> ResultsPage:
    made = ResultsPage(context)
    qtbot.addWidget(made)
    made.resize(1100, 700)
    made.show()
    qtbot.waitExposed(made)
    made.activate()
    qtbot.waitUntil(lambda: not made.controller.state.is_loading)
    return made


def put(page: ResultsPage, made: Contest) -> None:
    page.controller._on_measured("job", "contest", made.as_json())


# What is said


def test_the_winner_is_told_with_experts_and_base_beside_it() -> None:
    told = winner_text(contest())

    assert told == (
        "Best: Task arithmetic, scale 0.7 with 85 % right on average, 85 % of the experts; "
        "base 45 %"
    )
    assert winner_text(replace(contest(), winner=0)) == ""
    assert skipped_text(contest()) == "SLERP (takes at most 1 expert)"


def test_lists_know_a_comparison_as_a_sweep() -> None:
    sweep = as_sweep(contest())

    assert (sweep.id, sweep.state, len(sweep.trials)) == ("c1", "done", 5)
    assert [one.number for one in sweep.trials if one.recommended and one.kept] == [2]
    assert sweep.trials[4].reason == "Out of memory."


def test_an_engine_that_went_away_leaves_what_was_measured() -> None:
    running = replace(contest().entries[2], state="running", scores={}, average=None)
    half = replace(contest(), entries=(*contest().entries[:2], running), state="running")

    ended = stopped(half, "failed", "The engine ended.")

    assert [one.state for one in ended.entries] == ["done", "done", "cancelled"]
    assert ended.entries[2].reason == "The engine ended."


# The table


def test_the_table_has_a_column_a_task_and_base_and_experts_among_the_rows(
    qtbot: QtBot,
) -> None:
    model = ContestModel()
    tester = QAbstractItemModelTester(model)
    table = ContestTable(model)
    qtbot.addWidget(table)

    model.show(contest())

    titles = [model.headerData(at, Qt.Orientation.Horizontal) for at in range(model.columnCount())]
    place = model.columns.index("method")
    names = [table.model().index(row, place).data() for row in range(table.model().rowCount())]
    assert titles == [
        "#", "Method", "Settings", "Two-digit sums", "Topics", "Average", "Of experts", "Time",
        "Peak memory", "Size", "Kept",
    ]  # fmt: skip
    assert names == [
        "EMR-merging *", "Task arithmetic", "sums", "Linear", "TIES", "base", "RegMean",
    ]  # fmt: skip
    assert tester is not None


def test_unknown_scores_come_last_both_ways(qtbot: QtBot) -> None:
    model = ContestModel()
    table = ContestTable(model)
    qtbot.addWidget(table)
    model.show(contest())
    average, method = model.columns.index("average"), model.columns.index("method")

    ends = []
    for order in (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder):
        table.sortByColumn(average, order)
        shown = table.model()
        ends.append([shown.index(row, method).data() for row in (0, shown.rowCount() - 1)])

    assert ends == [["base", "RegMean"], ["EMR-merging *", "RegMean"]]


# The page


def test_entries_appear_one_by_one_as_they_are_measured(page: ResultsPage) -> None:
    whole = contest()
    put(page, replace(whole, entries=(), winner=0, state="running"))
    seen = []
    for one in whole.entries[:2]:
        page.controller._on_measured("job", "entry", asdict(one))
        seen.append(page.merges.rowCount())

    winner = child(page, StateLabel, "ContestWinner")
    assert seen == [3, 4]
    assert winner.text == "2 merges measured so far"
    assert page._plot.currentWidget() is page.contest_plot
    assert page._tables.currentWidget() is page.contest_table
    assert not page.filters.isVisible()


def test_figure_table_and_button_follow_one_selection(page: ResultsPage, qtbot: QtBot) -> None:
    put(page, contest())
    canvas = child(page, ContestCanvas, "ContestCanvas")
    keep = child(page.header, QPushButton, "btn_keep")

    canvas.chosen.emit(canvas.methods[0])
    by_figure = (page.contest_table.selected, keep.isEnabled(), keep.text())
    page.contest_table.select(2)

    assert canvas.methods == [3, 1, 2, 4]
    assert by_figure == (3, True, "Keep this merge")
    assert page.controller.state.selected == (("c1", 2),)
    assert not keep.isEnabled()
    assert keep.toolTip() == "This merge is kept already."
    qtbot.waitUntil(lambda: not canvas._is_due)
    assert "4 of 5 merges measured" in canvas.accessibleDescription()


@pytest.mark.parametrize(
    ("state", "word"),
    [("cancelled", "Cancelled; nothing was kept"), ("failed", "It failed and nothing was kept")],
)
def test_one_that_ended_early_has_no_winner(page: ResultsPage, state: str, word: str) -> None:
    put(page, replace(contest(), winner=0, state=state))

    assert child(page, StateLabel, "ContestWinner").text.startswith(word)
    assert not child(page, QPushButton, "btn_show_winner").isVisible()


def test_the_winner_is_shown_in_the_library(page: ResultsPage, context: AppContext) -> None:
    asked: list[tuple[object, object]] = []
    context.navigator.page_asked.connect(lambda name, payload: asked.append((name, payload)))
    put(page, contest())

    child(page, QPushButton, "btn_show_winner").click()

    assert asked == [("Library", LibraryChoice(("/sweeps/c1/task-arithmetic-2",)))]


def test_a_finished_job_tells_the_winner(
    page: ResultsPage, context: AppContext, engine: Any, script: Any, qtbot: QtBot
) -> None:
    banners: list[Any] = []
    context.navigator.banner_asked.connect(banners.append)
    whole = contest()
    engine.scripts = [
        script(
            steps=2,
            events={1: Measured("contest", replace(whole, winner=0, state="running").as_json())},
            report={"artefacts": [], "warnings": [], "results": {"contest": whole.as_json()}},
        )
    ]

    job = context.queue.submit("Compare merges", whole.recipe)
    page.activate(ResultsSweep(job_id=job.id))
    qtbot.waitUntil(lambda: not context.queue.busy and bool(banners), timeout=5000)

    assert page.controller.contest == whole
    assert [one.text for one in banners] == [winner_text(whole)]
    assert page.contest_table.selected == 2


def test_keeping_another_merge_makes_it_again(
    page: ResultsPage, context: AppContext, engine: Any, qtbot: QtBot
) -> None:
    put(page, contest())
    page.controller.select([("c1", 3)])

    child(page.header, QPushButton, "btn_keep").click()

    qtbot.waitUntil(lambda: not context.queue.busy and bool(engine.recipes), timeout=5000)
    recipe = MergeRecipe.model_validate(engine.recipes[0])
    assert recipe.setting.method == "ties"
    assert recipe.setting.options == {"scale": 0.5}
    assert [one.options for one in recipe.experts] == [{"density": 0.3}, {}]
    assert recipe.output == "/sweeps/c1/ties-3"


def test_what_cannot_be_made_again_says_why() -> None:
    made = contest()

    assert why_no_merge(made, made.entries[0]) == ""
    assert "a model for each expert" in why_no_merge(made, made.entries[3])
    assert "set aside" in why_no_merge(made, made.entries[4])
    assert merge_again(made, made.entries[0]).output == "/sweeps/c1/linear-1"


# Files


def test_records_are_read_and_broken_ones_left_out(
    context: AppContext, qtbot: QtBot, make_page: Callable[[], ResultsPage]
) -> None:
    for name, text in (("c1", json.dumps(contest().as_json())), ("c2", "{")):
        folder = context.home.sweeps / name
        folder.mkdir(parents=True)
        (folder / CONTEST_FILE).write_text(text)

    found = read_contests(context.home.sweeps, JobControl())
    page = make_page()
    qtbot.waitUntil(lambda: not page.controller.state.is_loading)

    assert found == [contest()]
    assert page.controller.contest == contest()
    assert page.sweeps.count() == 1


@pytest.fixture
def make_page(context: AppContext, qtbot: QtBot) -> Callable[[], ResultsPage]:
    """A page that is made after its records."""

    def make() -> ResultsPage:
        made = ResultsPage(context)
        qtbot.addWidget(made)
        return made

    return make


def test_a_comparison_is_exported_whole(tmp_path: Path) -> None:
    control = JobControl()
    table = write_contest_table(tmp_path / "merges.csv", contest(), control)
    record = write_contest_table(tmp_path / "merges.json", contest(), control)
    plot = write_contest_plot(tmp_path / "merges.svg", contest(), control)

    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == ["base", "expert", *["merge"] * 5]
    assert (rows[3]["method"], rows[3]["sums"], rows[3]["winner"]) == (
        "task-arithmetic", "0.9", "True",
    )  # fmt: skip
    assert Contest.from_json(json.loads(record.read_text())["comparison"]) == contest()
    assert plot.stat().st_size > 1000
