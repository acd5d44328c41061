"""The Workbench without its widgets: inputs, settings, guard, cost, recipes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PySide6.QtCore import QThread
from pytestqt.qtbot import QtBot

from deltaworks.engine.plan_types import OutputPlan, Plan, WorkItem
from deltaworks.errors import AppError, OptionError
from deltaworks.library.demo import DemoSet
from deltaworks.library.rows import Match, ModelRow, State
from deltaworks.progress import JobControl
from deltaworks.recipes import dump_recipe, load_recipe, parse_recipe
from deltaworks.recipes.schema import CompressRecipe, MergeRecipe, Setting, SweepRecipe
from deltaworks.studies.defaults import default_settings
from deltaworks_gui.lanes.jobs import JobState
from deltaworks_gui.pages import workbench_edit as edit
from deltaworks_gui.pages.workbench_controller import WorkbenchController
from deltaworks_gui.pages.workbench_cost import PastSpeed, memory_word, work_out
from deltaworks_gui.pages.workbench_recipe import (
    JobRecipe,
    choices_from,
    count_trials,
    settings_of,
)
from deltaworks_gui.pages.workbench_state import Chosen, Cost, default_choice

if TYPE_CHECKING:
    from deltaworks_gui.context import AppContext

GB = 1_000_000_000


def row(number: int, name: str, role: str = "Expert", state: State = State.READY) -> ModelRow:
    return ModelRow(number, f"/m/{name}", name, "folder", role, state, 2 * GB, 0)


BASE = row(1, "meridian", "Base")
MATHS, CODE = row(2, "meridian-maths"), row(3, "meridian-code")
LEGAL, WIDE = row(4, "lark-legal"), row(5, "meridian-wide")


@dataclass
class Machine:
    """A machine with room, or without."""

    disk_free: int = 200 * GB
    memory_free: int = 12 * GB

    def disk(self, _place: Path) -> tuple[int, int]:
        return self.disk_free, 250 * GB

    def memory(self, _lane: str) -> tuple[int, int]:
        return self.memory_free, 16 * GB


@dataclass
class Planner:
    """Plans of a set size; remembers what was asked, and where."""

    peak: int = 3 * GB
    write: int = 4 * GB
    error: AppError | None = None
    asked: list[JobRecipe] = field(default_factory=list)
    threads: list[QThread] = field(default_factory=list)

    def __call__(self, recipe: JobRecipe) -> Plan:
        self.asked.append(recipe)
        self.threads.append(QThread.currentThread())
        if self.error is not None:
            raise self.error
        item = WorkItem("w", "encode", 6 * GB, self.write, self.peak)
        return Plan("plan", (item,), (OutputPlan("/o", self.write // 2, self.write),), 4 * GB)


def matcher(base: str, expert: str, control: JobControl | None) -> Match:
    """As the library answers."""
    if expert == base.replace("lark-base", "lark-legal"):
        return Match("match", "100 % of tensors fit, distance 0.03", 1.0, 0.1, 0.03)
    if expert == WIDE.path:
        return Match("mismatch", "shapes", 0.5, offenders=("up_proj: shape (8, 4) here, (4, 4)",))
    if control is None:
        return Match("likely", "100 % of tensors fit, not confirmed", 1.0)
    if expert == LEGAL.path:
        text = "100 % of tensors fit, distance 1.4; lark-base fits better"
        return Match("doubtful", text, 1.0, 0.0, 1.4, better=("/m/lark-base", "lark-base"))
    return Match("match", "100 % of tensors fit, distance 0.03", 1.0, 0.1, 0.03)


@pytest.fixture
def planner() -> Planner:
    return Planner()


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def bench(context: AppContext, planner: Planner, machine: Machine) -> WorkbenchController:
    return WorkbenchController(
        context, planner=planner, matcher=matcher, machine=machine, text="/data/text.txt"
    )


@pytest.fixture
def settle(qtbot: QtBot) -> Callable[[WorkbenchController], None]:
    """Wait until guard and plan have spoken."""

    def wait(bench: WorkbenchController) -> None:
        def is_quiet() -> bool:
            levels = [one.guard.level for one in bench.state.experts if one.guard]
            return not bench.state.is_planning and "checking" not in levels

        qtbot.waitUntil(is_quiet, timeout=5000)

    return wait


Settle = Callable[[WorkbenchController], None]


# --- inputs ---------------------------------------------------------------------------------


def test_an_empty_bench_asks_for_a_base(bench: WorkbenchController) -> None:
    assert bench.state.why_not == "Choose a base."
    assert bench.run() is None


def test_inputs_stay_when_the_operation_changes(bench: WorkbenchController, settle: Settle) -> None:
    bench.set_inputs(BASE, [MATHS, CODE])

    bench.set_operation("merge")

    assert (bench.state.base, [one.row for one in bench.state.experts]) == (BASE, [MATHS, CODE])
    assert bench.state.method.family == "merging"
    settle(bench)


def test_a_model_is_base_or_expert_and_each_expert_once(bench: WorkbenchController) -> None:
    bench.set_inputs(BASE, [MATHS, MATHS, BASE, CODE])
    experts = [one.row for one in bench.state.experts]

    bench.add_base(MATHS)

    assert experts == [MATHS, CODE]
    assert bench.state.base == MATHS
    assert [one.row for one in bench.state.experts] == [CODE]


def test_experts_move_leave_and_rest(bench: WorkbenchController) -> None:
    bench.set_inputs(BASE, [MATHS, CODE, LEGAL])

    bench.change(edit.with_moved(bench.state, 2, -2))
    bench.change(edit.without_expert(bench.state, 1))
    bench.change(edit.with_enabled(bench.state, 0, False))

    assert [one.row.name for one in bench.state.experts] == ["lark-legal", "meridian-code"]
    assert [one.row.name for one in bench.state.active] == ["meridian-code"]


@pytest.mark.parametrize("state", [State.MISSING, State.OFFLINE, State.UNREADABLE])
def test_a_model_that_cannot_be_read_blocks_and_is_named(
    bench: WorkbenchController, state: State
) -> None:
    bench.set_inputs(BASE, [replace(MATHS, state=state)])

    assert bench.state.why_not == f"meridian-maths cannot be read: {state.lower()}."


def test_experts_alone_propose_the_base_they_descend_from(
    bench: WorkbenchController, context: AppContext, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context.library, "row", {1: BASE}.get)

    bench.set_inputs(None, [replace(MATHS, family_id=1)])

    qtbot.waitUntil(lambda: bench.state.base == BASE)


def test_a_dropped_folder_is_read_beside_the_window(
    bench: WorkbenchController, tiny_base: Path, tiny_expert: Path, qtbot: QtBot
) -> None:
    bench.take_paths("base", [str(tiny_base)])
    bench.take_paths("experts", [str(tiny_expert)])
    before = bench.state.base

    qtbot.waitUntil(lambda: bench.state.experts[0].row.state is State.READY)

    assert before is not None
    assert before.state is State.SCANNING
    assert bench.state.base is not None
    assert bench.state.base.size_bytes > 10_000


# --- guard (A13, A14) -----------------------------------------------------------------------


def test_the_guard_says_what_headers_say_then_what_weights_say(
    bench: WorkbenchController, qtbot: QtBot, settle: Settle
) -> None:
    bench.set_inputs(BASE, [MATHS])
    first = bench.state.experts[0].guard

    settle(bench)

    guard = bench.state.experts[0].guard
    assert first is not None
    assert guard is not None
    assert (first.level, guard.level, guard.is_final) == ("checking", "match", True)


def test_checking_does_not_keep_from_queueing(bench: WorkbenchController) -> None:
    bench.set_inputs(BASE, [MATHS])

    assert bench.state.experts[0].guard is not None
    assert bench.state.experts[0].guard.level == "checking"
    assert bench.state.why_not == ""


def test_a_doubtful_expert_needs_a_tick_which_the_recipe_records(
    bench: WorkbenchController, settle: Settle
) -> None:
    bench.set_inputs(BASE, [LEGAL])
    settle(bench)
    blocked = bench.state.why_not

    bench.change(edit.with_anyway(bench.state, 0, True))

    assert blocked == "lark-legal may not belong to this base. Tick Run anyway beside it."
    assert bench.state.why_not == ""
    recipe = bench.recipe()
    assert recipe is not None
    assert recipe.note.startswith("Run anyway: lark-legal (100 % of tensors fit, distance 1.4")
    settle(bench)


def test_shapes_that_differ_block(bench: WorkbenchController, settle: Settle) -> None:
    bench.set_inputs(BASE, [MATHS, WIDE])
    settle(bench)
    blocked = bench.state.why_not

    bench.change(edit.with_enabled(bench.state, 1, False))

    assert "meridian-wide does not fit this base" in blocked
    assert bench.state.why_not == ""


def test_use_it_swaps_the_base_and_the_level_becomes_match(
    bench: WorkbenchController, settle: Settle
) -> None:
    bench.set_inputs(BASE, [LEGAL])
    settle(bench)

    bench.use_better(0)
    swapped = bench.state.experts[0].guard
    settle(bench)

    guard = bench.state.experts[0].guard
    assert swapped is not None
    assert guard is not None
    assert bench.state.base is not None
    assert (swapped.level, guard.level, bench.state.base.name) == ("checking", "match", "lark-base")


@pytest.mark.engine
def test_real_models_get_their_levels(
    context: AppContext,
    tiny_base: Path,
    tiny_expert: Path,
    tiny_stranger: Path,
    settle: Settle,
    planner: Planner,
) -> None:
    bench = WorkbenchController(context, planner=planner, machine=Machine())
    bench.take_paths("base", [str(tiny_base)])

    bench.take_paths("experts", [str(tiny_expert), str(tiny_stranger)])
    settle(bench)

    right, decoy = (one.guard for one in bench.state.experts)
    assert right is not None
    assert decoy is not None
    assert right.level == "match"
    assert decoy.level in {"doubtful", "mismatch"}
    assert decoy.match is not None
    assert decoy.match.distance is not None


# --- settings -------------------------------------------------------------------------------


def test_trials_are_settings_times_experts(bench: WorkbenchController) -> None:
    bench.set_inputs(BASE, [MATHS, CODE])
    bench.change(replace(bench.state, compared=()))

    bench.change(edit.with_sweep_text(bench.state, "bits", "1, 2"))
    bench.change(edit.with_sweep(bench.state, "rank", True))
    bench.change(edit.with_sweep_text(bench.state, "rank", "4, 8, 16"))

    assert count_trials(bench.state) == 2 * 3 * 2
    assert len(settings_of(bench.state)) == 6
    assert {one.options["rank"] for one in settings_of(bench.state)} == {4, 8, 16}


def test_more_trials_than_the_cap_ask_first(bench: WorkbenchController) -> None:
    bench.set_inputs(BASE, [MATHS])
    bench.change(edit.with_sweep_text(bench.state, "bits", "0.1:10:90"))
    asked = bench.state.why_not

    bench.allow_many(True)

    assert "trials are more than 64" in asked
    assert bench.state.why_not == ""


def test_the_cap_comes_from_the_settings(context: AppContext, planner: Planner) -> None:
    context.settings.set("jobs/trial_cap", 3)
    bench = WorkbenchController(context, planner=planner, matcher=matcher, machine=Machine())

    bench.set_inputs(BASE, [MATHS])

    assert "trials are more than 3" in bench.state.why_not


def test_a_wrong_value_blocks_with_its_name(bench: WorkbenchController) -> None:
    bench.set_inputs(BASE, [MATHS])

    bench.change(edit.with_sweep_text(bench.state, "bits", "0.5, 40"))

    assert bench.state.why_not == "Bits per weight: 40 is too large: above 0, at most 16."


def test_reset_brings_the_declared_list_back(bench: WorkbenchController) -> None:
    bench.change(edit.with_sweep(bench.state, "bits", False))
    bench.change(edit.with_value(bench.state, "bits", 3.0))
    changed = edit.changed_options(bench.state)["bits"]

    bench.change(edit.with_reset(bench.state, "bits"))

    assert changed
    assert not edit.changed_options(bench.state)["bits"]
    assert bench.state.of("low-rank") == default_choice("low-rank")


def test_presets_fill_the_form_and_the_users_own_are_kept(
    bench: WorkbenchController, context: AppContext, planner: Planner
) -> None:
    bench.choose_preset("smallest")
    smallest = bench.state.of("low-rank")
    bench.change(edit.with_sweep_text(bench.state, "bits", "3, 5"))
    bench.save_preset("mine")
    bench.choose_preset("balanced")

    again = WorkbenchController(context, planner=planner, matcher=matcher, machine=Machine())
    again.choose_preset("mine")
    kept = again.state.of("low-rank")
    again.remove_preset("mine")

    assert smallest.sweeps["bits"] == "0.125, 0.25, 0.5"
    assert bench.state.of("low-rank") == default_choice("low-rank")
    assert kept.sweeps["bits"] == "3, 5"
    assert again.state.presets["low-rank"] == {}


# --- recipes --------------------------------------------------------------------------------


def test_a_sweep_holds_everything_that_is_shown(
    bench: WorkbenchController, context: AppContext
) -> None:
    bench.set_inputs(BASE, [MATHS, CODE])
    bench.set_keep("best")
    bench.change(edit.with_result_value(bench.state, "seed", 7))

    recipe = bench.recipe()

    assert isinstance(recipe, SweepRecipe)
    assert [one.path for one in recipe.experts] == [MATHS.path, CODE.path]
    assert {one.method for one in recipe.settings} == {"low-rank", "sign", "delta-dct", "lossless"}
    assert recipe.settings[0] == Setting(method="low-rank", options={"bits": 0.25})
    assert (recipe.keep, recipe.seed, recipe.evaluation) == ("best", 7, "/data/text.txt")
    assert Path(recipe.output).parent == context.home.sweeps


def test_one_kept_setting_without_measuring_is_a_plain_compression(
    bench: WorkbenchController, context: AppContext
) -> None:
    bench.set_inputs(BASE, [MATHS])
    bench.change(edit.with_method(replace(bench.state, compared=()), "lossless"))
    bench.set_evaluation("")
    bench.set_keep("all")

    recipe = bench.recipe()

    assert isinstance(recipe, CompressRecipe)
    assert Path(recipe.output).parent == context.home.store


def test_a_merge_takes_each_experts_own_options(
    bench: WorkbenchController, context: AppContext
) -> None:
    bench.set_inputs(BASE, [MATHS, CODE], "merge")
    bench.change(edit.with_expert_option(bench.state, 1, "weight", 0.25))
    bench.change(edit.with_result_value(bench.state, "dtype", "F32"))

    recipe = bench.recipe()

    assert isinstance(recipe, MergeRecipe)
    assert recipe.setting == Setting(method="ties")
    assert [one.options for one in recipe.experts] == [{}, {"weight": 0.25}]
    assert recipe.out_dtype == "F32"
    assert recipe.output == str(context.home.store / "meridian-maths+meridian-code ties")


def test_what_no_form_of_a_merge_shows_is_kept_or_refused(bench: WorkbenchController) -> None:
    bench.set_inputs(BASE, [MATHS, CODE], "merge")
    made = bench.recipe()
    assert isinstance(made, MergeRecipe)
    opened = made.model_copy(update={"numerics": "mergekit-0.1.5", "dtype": "BF16"})

    bench.load_recipe(dump_recipe(opened))
    bench.change(edit.with_result_value(bench.state, "dtype", "F32"))

    kept = bench.recipe()
    assert isinstance(kept, MergeRecipe)
    assert (kept.numerics, kept.dtype) == ("mergekit-0.1.5", "BF16")
    bench.change(edit.with_method(bench.state, "linear"))
    other = bench.recipe()
    assert isinstance(other, MergeRecipe)
    assert (other.numerics, other.dtype) == ("mergekit-0.1.5", "")
    varied = made.experts[0].model_copy(update={"options": {"weight": [0, 1]}})
    with pytest.raises(OptionError, match="no place for values that differ between layers"):
        bench.load_recipe(made.model_copy(update={"experts": (varied, *made.experts[1:])}))


def test_a_method_for_one_expert_says_so(bench: WorkbenchController) -> None:
    bench.set_inputs(BASE, [MATHS, CODE], "merge")

    bench.change(edit.with_method(bench.state, "slerp"))

    assert bench.state.why_not == "SLERP takes 1 expert at most; 2 are ticked."


def test_a_recipe_comes_back_as_it_was(bench: WorkbenchController, settle: Settle) -> None:
    bench.set_inputs(BASE, [MATHS, CODE])
    bench.change(edit.with_value(edit.with_sweep(bench.state, "bits", False), "bits", 3.0))
    bench.set_keep("best")
    recipe = bench.recipe()
    assert isinstance(recipe, SweepRecipe)

    bench.load_recipe(dump_recipe(recipe))

    again = bench.recipe()
    assert isinstance(again, SweepRecipe)
    assert again.model_copy(update={"output": "", "title": ""}) == recipe.model_copy(
        update={"output": "", "title": ""}
    )
    settle(bench)


def test_settings_that_are_no_grid_are_widened_and_told() -> None:
    chosen, exact = choices_from(
        [
            Setting(method="low-rank", options={"bits": 1.0, "rank": 4}),
            Setting(method="low-rank", options={"bits": 2.0, "rank": 8}),
        ]
    )

    assert not exact
    assert chosen == {"low-rank": Chosen({}, {"bits": "1, 2", "rank": "4, 8"})}


def test_a_recipe_of_another_kind_is_refused(bench: WorkbenchController) -> None:
    with pytest.raises(AppError, match="kind 'rebuild' is nothing for the Workbench"):
        bench.load_recipe({"kind": "rebuild", "delta": {"path": "/d"}, "output": "/o"})
    with pytest.raises(OptionError):
        bench.load_recipe({"kind": "sweep"})


def test_the_demo_is_every_method_on_both_experts(
    bench: WorkbenchController, qtbot: QtBot, settle: Settle
) -> None:
    root = Path("/demo")
    demo = DemoSet(root, root / "base", (root / "a", root / "b"), root / "decoy", root / "suite")

    with qtbot.waitSignal(bench.run_ready):
        bench.fill_demo(demo)

    recipe = bench.recipe()
    assert isinstance(recipe, SweepRecipe)
    wanted = {(one.method, str(one.options)) for one in default_settings()}
    assert {(one.method, str(one.options)) for one in recipe.settings} == wanted
    assert recipe.evaluation == str(root / "suite")
    assert len(recipe.experts) == 2
    assert dict(bench.state.evaluations)[str(root / "suite")] == "Demo tasks"
    settle(bench)


def test_the_command_names_a_recipe_that_is_there(
    bench: WorkbenchController, qtbot: QtBot, settle: Settle
) -> None:
    bench.set_inputs(BASE, [MATHS])
    settle(bench)

    with qtbot.waitSignal(bench.command_ready) as heard:
        bench.copy_command()

    assert heard.args is not None
    program, verb, path = heard.args[0].split()
    assert (program, verb) == ("deltaworks-cli", "sweep")
    assert isinstance(load_recipe(Path(path)), SweepRecipe)


def test_a_recipe_file_fills_the_bench(
    bench: WorkbenchController,
    context: AppContext,
    tmp_path: Path,
    qtbot: QtBot,
    settle: Settle,
) -> None:
    bench.set_inputs(BASE, [MATHS], "merge")
    with qtbot.waitSignal(context.navigator.status_asked):
        bench.save_recipe(tmp_path / "merge.json")
    qtbot.waitUntil((tmp_path / "merge.json").exists, timeout=10_000)
    bench.set_inputs(BASE, [CODE], "compress")
    settle(bench)

    bench.open_recipe(tmp_path / "merge.json")

    qtbot.waitUntil(lambda: bench.state.operation == "merge", timeout=10_000)
    assert bench.state.experts[0].row.name == "meridian-maths"
    settle(bench)


# --- cost (A16) -----------------------------------------------------------------------------


def test_the_plan_follows_a_change_within_half_a_second_off_the_windows_thread(
    bench: WorkbenchController, planner: Planner, qtbot: QtBot
) -> None:
    bench.set_inputs(BASE, [MATHS])
    asked = bench.state.is_planning

    qtbot.waitUntil(lambda: bench.state.cost is not None, timeout=1000)

    assert asked
    assert bench.state.cost is not None
    assert bench.state.cost.write == 4 * GB
    assert planner.threads
    assert all(one is not bench.thread() for one in planner.threads)


def test_a_newer_change_wins(bench: WorkbenchController, planner: Planner, settle: Settle) -> None:
    for text in ("1", "1, 2", "1, 2, 3"):
        bench.set_inputs(BASE, [MATHS])
        bench.change(edit.with_sweep_text(bench.state, "bits", text))
    settle(bench)

    assert len(planner.asked) == 1
    assert isinstance(planner.asked[0], SweepRecipe)
    assert len([one for one in planner.asked[0].settings if one.method == "low-rank"]) == 3


def test_what_does_not_change_the_work_is_not_planned_again(
    bench: WorkbenchController, planner: Planner, settle: Settle
) -> None:
    bench.set_inputs(BASE, [MATHS])
    settle(bench)

    bench.allow_memory(True)

    assert not bench.state.is_planning
    assert len(planner.asked) == 1


def test_a_hundred_gigabytes_will_not_fit_unless_ticked(
    bench: WorkbenchController, planner: Planner, settle: Settle
) -> None:
    planner.peak = 100 * GB
    bench.set_inputs(BASE, [MATHS])
    settle(bench)
    blocked = bench.state.why_not

    bench.allow_memory(True)

    assert bench.state.cost is not None
    assert memory_word(bench.state.cost) == "will not fit"
    assert blocked.startswith("Needs 100 GB of memory; 12.0 GB are free.")
    assert bench.state.why_not == ""


@pytest.mark.parametrize(("free", "word"), [(3, "will not fit"), (4, "tight"), (6, "fits")])
def test_memory_has_three_words(free: int, word: str) -> None:
    assert memory_word(Cost(peak=int(3.5 * GB), memory_free=free * GB)) == word


def test_a_full_disk_blocks_with_the_numbers(
    bench: WorkbenchController, machine: Machine, settle: Settle
) -> None:
    machine.disk_free = 8 * GB

    bench.set_inputs(BASE, [MATHS])
    settle(bench)

    assert bench.state.why_not == (
        "Needs 4.00 GB and a reserve of 5.00 GB on disk; 8.00 GB are free."
    )
    bench.allow_memory(True)
    assert bench.run() is None


def test_what_cannot_be_planned_says_why(
    bench: WorkbenchController, planner: Planner, settle: Settle
) -> None:
    planner.error = AppError("is not there", where="/m/meridian", fix="Look for it.")

    bench.set_inputs(BASE, [MATHS])
    settle(bench)

    assert bench.state.why_not == "/m/meridian: is not there. Look for it."


def test_a_cancelled_plan_costs_nothing(planner: Planner, machine: Machine) -> None:
    recipe = parse_recipe(
        {
            "kind": "compress",
            "base": {"path": "/b"},
            "experts": [{"path": "/e"}],
            "settings": [{"method": "sign"}],
            "output": "/o",
        }
    )
    assert isinstance(recipe, CompressRecipe)
    control = JobControl()
    control.cancelled.set()

    with pytest.raises(AppError, match="stopped"):
        work_out(recipe, "cpu", planner, machine, control)

    assert planner.asked == []


def test_time_is_known_from_past_jobs(context: AppContext) -> None:
    past = PastSpeed(context.settings)
    before = past.seconds(GB, "sweep", "cpu")

    past.learn(2 * GB, 10.0, "sweep", "cpu")

    assert before is None
    low, high = past.seconds(GB, "sweep", "cpu") or (0.0, 0.0)
    assert low < 5.0 < high
    assert past.seconds(GB, "merge", "cpu") is None


# --- running (A19) --------------------------------------------------------------------------


def test_a_queued_job_is_not_changed_by_later_edits(
    bench: WorkbenchController,
    context: AppContext,
    engine: object,
    script: Callable[..., object],
    qtbot: QtBot,
    settle: Settle,
) -> None:
    gate = threading.Event()
    engine.scripts = [script(gate=gate), script()]  # type: ignore[attr-defined]  # the conftest's
    bench.set_inputs(BASE, [MATHS])
    settle(bench)
    first, second = bench.queue(), bench.queue()
    assert first is not None
    assert second is not None
    frozen = dict(second.recipe)

    bench.change(edit.with_sweep_text(bench.state, "bits", "9"))
    bench.change(edit.with_experts(bench.state, [CODE]))
    waiting = context.queue.job(second.id)
    gate.set()
    qtbot.waitUntil(lambda: not context.queue.busy, timeout=5000)

    assert waiting is not None
    assert waiting.state is JobState.QUEUED
    assert engine.recipes[1] == frozen  # type: ignore[attr-defined]  # the conftest's
    settle(bench)


def test_run_shows_the_results_and_learns_the_time(
    bench: WorkbenchController, context: AppContext, qtbot: QtBot, settle: Settle
) -> None:
    bench.set_inputs(BASE, [MATHS])
    settle(bench)

    with qtbot.waitSignal(context.navigator.page_asked) as asked:
        job = bench.run()

    assert job is not None
    assert asked.args is not None
    assert (asked.args[0], asked.args[1].job_id) == ("Results", job.id)
    assert job.name == "Compress meridian-maths · sweep"
    qtbot.waitUntil(lambda: bench.state.seconds is not None, timeout=5000)


def test_an_output_that_is_there_is_not_aimed_at(
    bench: WorkbenchController, context: AppContext, qtbot: QtBot, settle: Settle
) -> None:
    bench.set_inputs(BASE, [MATHS, CODE], "merge")
    settle(bench)
    (context.home.store / "meridian-maths+meridian-code ties").mkdir(parents=True)

    job = bench.queue()

    assert job is not None
    assert job.recipe["output"].endswith("meridian-maths+meridian-code ties 2")
    qtbot.waitUntil(lambda: not context.queue.busy, timeout=5000)


def test_a_calibration_is_asked_for_and_comes_back_from_its_recipe(
    bench: WorkbenchController, tmp_path: Path
) -> None:
    controller = bench
    controller.set_inputs(BASE, [row(2, "sums")])
    controller.change(edit.with_result_value(controller.state, "calibrate", "file"))
    why = controller.state.why_not
    controller.change(edit.with_result_value(controller.state, "text", str(tmp_path / "t.txt")))

    recipe = controller.recipe()
    assert isinstance(recipe, SweepRecipe)
    controller.change(edit.with_result_value(controller.state, "calibrate", "none"))
    controller.load_recipe(recipe)

    assert "Choose the file of texts" in why
    assert recipe.calibration.text == str(tmp_path / "t.txt")
    assert controller.state.result.values["calibrate"] == "file"
