"""What the Workbench does with what the user says. QtCore only."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from deltaworks.errors import AppError, OptionError
from deltaworks.library.demo import DemoSet
from deltaworks.library.rows import Match, ModelRow
from deltaworks.progress import JobControl
from deltaworks.recipes import as_command, dump_recipe, load_recipe, parse_recipe, save_recipe
from deltaworks.recipes.schema import CompressRecipe, Keep, MergeRecipe, SweepRecipe
from deltaworks_gui.context import AppContext
from deltaworks_gui.lanes.jobs import ENDED, Job, JobState
from deltaworks_gui.lanes.tasks import Task
from deltaworks_gui.pages import workbench_edit as edit
from deltaworks_gui.pages.workbench_cost import (
    Machine,
    PastSpeed,
    Planner,
    ThisMachine,
    plan_with_core,
    work_out,
)
from deltaworks_gui.pages.workbench_guard import GuardChecker, GuardNews, Matcher
from deltaworks_gui.pages.workbench_presets import (
    presets_of,
    read_presets,
    write_presets,
)
from deltaworks_gui.pages.workbench_recipe import (
    JobRecipe,
    free_place,
    job_name,
    make_recipe,
    with_recipe,
)
from deltaworks_gui.pages.workbench_rows import placeholder, read_rows
from deltaworks_gui.pages.workbench_rules import why_not
from deltaworks_gui.pages.workbench_state import (
    OPERATIONS,
    TRIAL_CAP,
    Cost,
    Guard,
    WorkbenchState,
)
from deltaworks_gui.payloads import ResultsSweep

log = logging.getLogger(__name__)

PLAN_AFTER_MS = 200
TEXT_UP_TO_BYTES = 4_000_000_000
"""Bases above this are not measured on text unless the user says so: it takes hours on a CPU."""


class WorkbenchController(QObject):
    """State and rules of the Workbench.

    Args:
        context: what pages share.
        planner: gives the plan of a recipe; the core's own without.
        matcher: compares base and expert; the library's own without.
        machine: what is free; this machine without.
        text: file of the bundled text to measure on; empty offers none.

    Signals:
        changed: ``state`` is another one.
        run_ready: everything is filled in; the keyboard belongs on Run.
        command_ready: command lines for the clipboard.
        submitted: the Job that was queued.
    """

    changed = Signal()
    run_ready = Signal()
    command_ready = Signal(str)
    submitted = Signal(object)

    def __init__(
        self,
        context: AppContext,
        *,
        planner: Planner = plan_with_core,
        matcher: Matcher | None = None,
        machine: Machine | None = None,
        text: str = "",
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._context = context
        self._planner = planner
        self._machine = machine or ThisMachine()
        self._past = PastSpeed(context.settings)
        self._work: dict[str, int] = {}
        self._planned: JobRecipe | None = None
        self._planning: Task | None = None
        self._plan_number = 0
        self._evaluation_is_chosen = False
        self._text = text
        self._guard = GuardChecker(context.tasks, matcher or self._match, self)
        self._guard.found.connect(self._on_guard)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PLAN_AFTER_MS)
        self._timer.timeout.connect(self._plan)
        lanes = tuple(context.queue.lanes())
        self._state = WorkbenchState(
            lanes=lanes,
            lane=max(lanes, key=lambda one: one.total_bytes - one.used_bytes).id if lanes else "",
            cap=context.settings.number("jobs/trial_cap", TRIAL_CAP),
            presets=read_presets(context.settings),
            evaluations=self._offered(),
        )
        self._state = replace(self._state, why_not=why_not(self._state))
        context.queue.job_ended.connect(self._on_job_ended)
        context.queue.lane_changed.connect(self._on_lane_changed)

    @property
    def state(self) -> WorkbenchState:
        """What the Workbench holds now."""
        return self._state

    def change(self, state: WorkbenchState) -> None:
        """Take a new state: everything that follows from it is worked out again."""
        before = self._state
        state = self._with_guards(state)
        if state.base is not before.base and not self._evaluation_is_chosen:
            state = replace(state, evaluation=self._usual_evaluation(state.base))
        if _asks_other(before, state):
            state = replace(state, is_planning=True)
            self._timer.start()
        self._state = replace(state, why_not=why_not(state))
        self.changed.emit()

    # --- inputs -------------------------------------------------------------------------------

    def set_inputs(
        self,
        base: ModelRow | None,
        experts: Sequence[ModelRow],
        operation: str = "compress",
    ) -> None:
        """Fill both slots.

        Args:
            base: None proposes the one that the experts descend from, or keeps what is there.
            experts: in the user's order.
            operation: empty keeps the one that is chosen.
        """
        operation = operation or self._state.operation
        family = next((row.family_id for row in experts if row.family_id is not None), None)
        if base is not None or family is None:
            base = base or self._state.base
            self.change(edit.with_inputs(self._state, base, experts, operation))
            return
        self.change(edit.with_inputs(self._state, None, experts, operation))
        library, wanted = self._context.library, family
        self._context.tasks.start(lambda _: library.row(wanted), succeeded=self._on_proposed)

    def add_base(self, row: ModelRow) -> None:
        """Use a model as base; it leaves the experts."""
        self.change(edit.with_base(self._state, row))

    def add_expert(self, row: ModelRow) -> None:
        """Add a model to the experts, once."""
        self.change(edit.with_experts(self._state, [row]))

    def use_better(self, index: int) -> None:
        """Take the base that fits this expert better."""
        guard = self._state.experts[index].guard
        if guard is not None and guard.match is not None and guard.match.better is not None:
            path, name = guard.match.better
            self.add_base(placeholder(path, "Base", name))
            self._read([path])

    def take_ids(self, slot: str, ids: Sequence[int]) -> None:
        """Library rows were dropped on ``base``, ``experts``, or beside them both."""
        library, wanted = self._context.library, list(ids)
        receivers = {"base": self._on_base_rows, "experts": self._on_expert_rows}
        receiver = receivers.get(slot, self._on_any_rows)
        self._context.tasks.start(
            lambda _: library.some_rows(wanted), succeeded=receiver, failed=self._on_failed
        )

    def take_paths(self, slot: str, paths: Sequence[str]) -> None:
        """Folders or files were dropped on ``base`` or ``experts``."""
        if slot == "base":
            self.add_base(placeholder(paths[0], "Base"))
        else:
            rows = [placeholder(path, "Expert") for path in paths]
            self.change(edit.with_experts(self._state, rows))
        self._read(paths)

    def fill_demo(self, demo: DemoSet) -> None:
        """Fill in the demo: base, two experts, every method, its own evaluation."""
        methods = tuple(OPERATIONS["compress"].methods)
        primary = OPERATIONS["compress"].default_method
        self._evaluation_is_chosen = True
        evaluation = str(demo.evaluation)
        self._offer(evaluation, self.tr("Demo tasks"))
        state = edit.with_inputs(
            self._state,
            placeholder(demo.base, "Base"),
            [placeholder(path, "Expert") for path in demo.experts],
            "compress",
        )
        self.change(
            replace(
                state,
                methods={**state.methods, "compress": primary},
                chosen={one: kept for one, kept in state.chosen.items() if one not in methods},
                compared=tuple(one for one in methods if one != primary),
                evaluation=evaluation,
                evaluations=self._offered(),
                keep="front",
            )
        )
        self._read([str(demo.base), *(str(path) for path in demo.experts)])
        self.run_ready.emit()

    def load_recipe(self, recipe: JobRecipe | Mapping[str, Any]) -> None:
        """Fill everything in from a recipe.

        Raises:
            AppError: it is no recipe, or of a job that the Workbench does not do.
        """
        known = recipe if not isinstance(recipe, Mapping) else parse_recipe(recipe)
        if not isinstance(known, (CompressRecipe, SweepRecipe, MergeRecipe)):
            raise AppError(
                f"a recipe of kind '{known.kind}' is nothing for the Workbench",
                fix="Open one that compresses or merges.",
            )
        state, exact = with_recipe(self._state, known)
        self._evaluation_is_chosen = True
        if state.evaluation:
            self._offer(state.evaluation, Path(state.evaluation).name)
        state = replace(state, evaluations=self._offered())
        self.change(edit.with_recipe_inputs(state, known))
        self._read(edit.paths_of(self._state))
        if not exact:
            self._context.navigator.status(
                self.tr("The recipe's settings were widened to a grid of all their values")
            )

    def open_recipe(self, path: Path) -> None:
        """Read a recipe file beside the window, then fill everything in."""
        output = str(self._context.home.store / path.stem)

        def work(_control: JobControl) -> object:
            try:
                return load_recipe(path)
            except OptionError:
                return load_recipe(path, output=output)  # mergekit files name no output

        self._context.tasks.start(work, succeeded=self._on_recipe, failed=self._on_failed)

    # --- settings -----------------------------------------------------------------------------

    def set_operation(self, operation: str) -> None:
        """Another operation; the inputs stay."""
        if operation != self._state.operation:
            self.change(replace(self._state, operation=operation))

    def choose_preset(self, preset: str) -> None:
        """Fill the method's form from a preset, ours or the user's."""
        method = self._state.method.id
        known = {**presets_of(method), **self._state.presets.get(method, {})}
        if preset in known:
            self.change(edit.with_chosen(self._state, known[preset]))

    def save_preset(self, name: str) -> None:
        """Keep the method's form under a name."""
        method = self._state.method.id
        own = {**self._state.presets.get(method, {}), name: self._state.of(method)}
        self._keep_presets(method, own)

    def remove_preset(self, name: str) -> None:
        """Forget one of the user's presets of this method."""
        method = self._state.method.id
        own = {key: one for key, one in self._state.presets.get(method, {}).items() if key != name}
        self._keep_presets(method, own)

    def set_evaluation(self, evaluation: str) -> None:
        """Measure on another set; a new place is offered from now on."""
        self._evaluation_is_chosen = True
        if evaluation and evaluation not in dict(self._offered()):
            self._offer(evaluation, Path(evaluation).name)
        state = replace(self._state, evaluation=evaluation, evaluations=self._offered())
        self.change(state)

    def set_keep(self, keep: str) -> None:
        """What a sweep keeps."""
        kept: Keep = next(one for one in get_args(Keep) if one == keep)
        self.change(replace(self._state, keep=kept))

    def set_lane(self, lane: str) -> None:
        """Where it runs."""
        self.change(replace(self._state, lane=lane))

    def allow_many(self, allowed: bool) -> None:
        """Run more trials than the cap."""
        self.change(replace(self._state, many_allowed=allowed))

    def allow_memory(self, allowed: bool) -> None:
        """Run although it will not fit into memory."""
        self.change(replace(self._state, memory_allowed=allowed))

    # --- doing it -----------------------------------------------------------------------------

    def run(self) -> Job | None:
        """Queue the job and show where its results appear; None when it cannot run."""
        job = self._submit()
        if job is None:
            return None
        navigator = self._context.navigator
        if job.recipe["kind"] == "sweep":
            navigator.show_page("Results", ResultsSweep(job_id=job.id))
        else:
            text = self.tr("{0}: queued. The result appears in the Library.").format(job.name)
            navigator.banner("info", text, key="workbench")
        return job

    def queue(self) -> Job | None:
        """Queue the job and stay; None when it cannot run."""
        job = self._submit()
        if job is not None:
            self._context.navigator.status(self.tr("{0}: queued").format(job.name))
        return job

    def recipe(self) -> JobRecipe | None:
        """The recipe of what is shown; None while inputs lack."""
        state = self._state
        if not state.active or (state.base is None and state.method.needs.base):
            return None
        return make_recipe(state, self._context.home)

    def copy_command(self) -> None:
        """Write the recipe to a file of ours and tell the command that runs it."""
        recipe = self.recipe()
        if recipe is None or self._state.why_not:
            return
        stem = Path(recipe.output).name
        place = self._context.home.root / "recipes" / f"{stem}.json"

        def work(_control: JobControl) -> str:
            place.parent.mkdir(parents=True, exist_ok=True)
            save_recipe(recipe, place)
            return as_command(recipe, file=str(place))

        self._context.tasks.start(work, succeeded=self._on_command, failed=self._on_failed)

    def save_recipe(self, path: Path) -> None:
        """Write the recipe to a file."""
        recipe = self.recipe()
        if recipe is not None:
            kept = recipe

            def work(_control: JobControl) -> Path:
                save_recipe(kept, path)
                return path

            self._context.tasks.start(work, succeeded=self._on_saved, failed=self._on_failed)

    def _submit(self) -> Job | None:
        recipe = self.recipe()
        if recipe is None or self._state.why_not:
            return None
        cost = self._state.cost
        recipe = free_place(recipe)
        job = self._context.queue.submit(
            job_name(self._state), dump_recipe(recipe), self._state.lane
        )
        if cost is not None and not self._state.is_planning:
            self._work[job.id] = cost.work
        self.submitted.emit(job)
        return job

    # --- what follows from a state ----------------------------------------------------------------

    def _with_guards(self, state: WorkbenchState) -> WorkbenchState:
        """Experts know about the base in the slot, and about no other."""
        same = state.base is not None and (
            self._state.base is not None and state.base.path == self._state.base.path
        )
        known = {one.row.path: one.guard for one in self._state.experts} if same else {}
        experts = tuple(
            replace(one, guard=_guard_of(state, one.row, one.guard if same else None, known))
            for one in state.experts
        )
        base = state.base
        pairs = [(base.path, one.row.path) for one in experts if one.guard] if base else []
        self._guard.want(pairs)
        return replace(state, experts=experts)

    @Slot(object)
    def _on_guard(self, news: GuardNews) -> None:
        base = self._state.base
        if base is None or news.pair[0] != base.path:
            return
        experts = tuple(
            replace(one, guard=_heard(one.guard, news)) if one.row.path == news.pair[1] else one
            for one in self._state.experts
        )
        self.change(replace(self._state, experts=experts))

    def _match(self, base: str, expert: str, control: JobControl | None) -> Match:
        return self._context.library.match(base, expert, control)

    @Slot()
    def _plan(self) -> None:
        recipe = None if _is_hopeless(self._state) else self.recipe()
        if self._planning is not None:
            self._planning.cancel()
            self._planning = None
        self._plan_number += 1
        if recipe is None:
            self._show_cost(None)
            return
        number, planner, machine = self._plan_number, self._planner, self._machine
        lane, wanted = self._state.lane, recipe

        def work(control: JobControl) -> tuple[int, Cost]:
            return number, work_out(wanted, lane, planner, machine, control)

        self._planning = self._context.tasks.start(
            work, succeeded=self._on_cost, failed=self._on_plan_failed
        )

    @Slot(object)
    def _on_cost(self, found: tuple[int, Cost]) -> None:
        number, cost = found
        if number == self._plan_number:
            self._planning = None
            self._show_cost(cost)

    @Slot(object)
    def _on_plan_failed(self, error: AppError) -> None:
        self._planning = None
        self._show_cost(Cost(error=str(error)))

    def _show_cost(self, cost: Cost | None) -> None:
        recipe = self.recipe() if cost is not None else None
        seconds = None
        if cost is not None and recipe is not None:
            seconds = self._past.seconds(cost.work, recipe.kind, self._state.lane)
        state = replace(self._state, cost=cost, is_planning=False, seconds=seconds)
        self._state = replace(state, why_not=why_not(state))
        self.changed.emit()

    # --- evaluation sets, presets -------------------------------------------------------------

    def _offered(self) -> tuple[tuple[str, str], ...]:
        text = [(self._text, self.tr("Bundled text"))] if self._text else []
        return (("", self.tr("Fidelity only (no data)")), *text, *self._own_evaluations())

    def _own_evaluations(self) -> list[tuple[str, str]]:
        data = self._context.settings.text("workbench/evaluations", "{}")
        try:
            return [(str(path), str(title)) for path, title in json.loads(data).items()]
        except (ValueError, AttributeError):
            return []

    def _offer(self, path: str, title: str) -> None:
        if path != self._text:
            kept = {**dict(self._own_evaluations()), path: title}
            self._context.settings.set("workbench/evaluations", json.dumps(kept))

    def _usual_evaluation(self, base: ModelRow | None) -> str:
        return self._text if base is not None and base.size_bytes <= TEXT_UP_TO_BYTES else ""

    def _keep_presets(self, method: str, own: dict[str, Any]) -> None:
        write_presets(self._context.settings, method, own)
        self.change(replace(self._state, presets={**self._state.presets, method: own}))

    # --- answers from beside the window -----------------------------------------------------------

    def _read(self, paths: Sequence[str]) -> None:
        library, wanted = self._context.library, list(paths)
        self._context.tasks.start(
            lambda control: read_rows(library, wanted, control),
            succeeded=self._on_rows,
            failed=self._on_failed,
        )

    @Slot(object)
    def _on_rows(self, rows: Mapping[str, ModelRow]) -> None:
        self.change(edit.with_rows(self._state, rows))

    @Slot(object)
    def _on_base_rows(self, rows: Sequence[ModelRow]) -> None:
        if rows:
            self.add_base(rows[0])

    @Slot(object)
    def _on_expert_rows(self, rows: Sequence[ModelRow]) -> None:
        self.change(edit.with_experts(self._state, rows))

    @Slot(object)
    def _on_any_rows(self, rows: Sequence[ModelRow]) -> None:
        base = next((row for row in rows if row.role == "Base"), None)
        if base is not None:
            self.add_base(base)
        self._on_expert_rows([row for row in rows if row is not base])

    @Slot(object)
    def _on_proposed(self, row: ModelRow | None) -> None:
        if row is not None and self._state.base is None:
            self.add_base(row)

    @Slot(object)
    def _on_recipe(self, recipe: JobRecipe) -> None:
        try:
            self.load_recipe(recipe)
        except AppError as error:
            self._on_failed(error)

    @Slot(object)
    def _on_command(self, command: str) -> None:
        self.command_ready.emit(command)
        self._context.navigator.status(self.tr("The command is in the clipboard"))

    @Slot(object)
    def _on_saved(self, path: Path) -> None:
        self._context.navigator.status(self.tr("Saved as {0}").format(path.name))

    @Slot(object)
    def _on_failed(self, error: AppError) -> None:
        log.warning("%s", error)
        self._context.navigator.banner("bad", str(error), key="workbench", stays=True)

    @Slot(object)
    def _on_job_ended(self, job: Job) -> None:
        work = self._work.pop(job.id, 0) if job.state in ENDED else 0
        if job.state in (JobState.SUCCEEDED, JobState.WARNED):
            kind = str(job.recipe.get("kind", ""))
            self._past.learn(work, job.running_seconds, kind, job.lane)
            self._timer.start()  # there is an estimate of time now, and other room on the disk

    @Slot(object)
    def _on_lane_changed(self, _lane: object) -> None:
        lanes = tuple(self._context.queue.lanes())
        if [one.id for one in lanes] != [one.id for one in self._state.lanes]:
            self.change(replace(self._state, lanes=lanes))


def _asks_other(before: WorkbenchState, after: WorkbenchState) -> bool:
    """Whether the plan may be another one."""
    return _question(before) != _question(after)


def _question(state: WorkbenchState) -> tuple[Any, ...]:
    experts = tuple((one.row.path, one.row.state, one.is_on, one.options) for one in state.experts)
    base = (state.base.path, state.base.state) if state.base else None
    method = state.method.id
    tried = tuple((one, state.of(one)) for one in state.tried)
    return (
        state.operation, base, experts, method, tried, state.result, state.evaluation,
        state.keep, state.lane,
    )  # fmt: skip


def _is_hopeless(state: WorkbenchState) -> bool:
    """Whether there is nothing to plan: options are wrong, or models do not fit."""
    bare = replace(state, cost=None, many_allowed=True)
    experts = tuple(
        replace(one, guard=replace(one.guard, anyway=True) if one.guard else None)
        for one in bare.experts
    )
    return bool(why_not(replace(bare, experts=experts)))


def _guard_of(
    state: WorkbenchState, row: ModelRow, own: Guard | None, known: Mapping[str, Guard | None]
) -> Guard | None:
    if state.base is None or state.base.path == row.path:
        return None
    return own or known.get(row.path) or Guard()


def _heard(guard: Guard | None, news: GuardNews) -> Guard:
    before = guard or Guard()
    return replace(before, match=news.match, is_final=news.is_final, error=news.error)
