"""What the Workbench does with what the user says. QtCore only."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from PySide6.QtCore import QObject, Signal, Slot

from deltaworks.errors import AppError
from deltaworks.library.demo import DemoSet
from deltaworks.library.rows import Match, ModelRow
from deltaworks.progress import JobControl
from deltaworks.recipes import parse_recipe
from deltaworks.recipes.schema import ContestRecipe, Keep
from deltaworks_gui.context import AppContext
from deltaworks_gui.lanes.jobs import SWEEPS, Job
from deltaworks_gui.pages import workbench_edit as edit
from deltaworks_gui.pages.workbench_consequences import (
    asks_for_plan,
    can_be_planned,
    pairs_of,
    with_guards,
    with_news,
)
from deltaworks_gui.pages.workbench_contest import (
    contest_name,
    contest_recipe,
    why_no_contest,
    with_contest,
)
from deltaworks_gui.pages.workbench_cost import Machine, Planner, ThisMachine, plan_with_core
from deltaworks_gui.pages.workbench_evaluations import EvaluationSets
from deltaworks_gui.pages.workbench_files import RecipeFiles
from deltaworks_gui.pages.workbench_guard import GuardChecker, GuardNews, Matcher
from deltaworks_gui.pages.workbench_planner import PlanWatcher
from deltaworks_gui.pages.workbench_presets import presets_of, read_presets, write_presets
from deltaworks_gui.pages.workbench_recipe import JobRecipe, make_recipe, with_recipe
from deltaworks_gui.pages.workbench_rows import placeholder, read_rows
from deltaworks_gui.pages.workbench_rules import why_not
from deltaworks_gui.pages.workbench_state import TRIAL_CAP, Cost, WorkbenchState
from deltaworks_gui.pages.workbench_submitter import Submitter
from deltaworks_gui.payloads import ResultsSweep

log = logging.getLogger(__name__)


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
    """

    changed = Signal()
    run_ready = Signal()
    command_ready = Signal(str)

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
        self._jobs = Submitter(context.queue, context.settings, self)
        self._sets = EvaluationSets(context.settings, text)
        self._evaluation_is_chosen = False
        self._slot = ""
        self._guard = GuardChecker(context.tasks, matcher or self._match, self)
        self._guard.found.connect(self._on_guard)
        self._plans = PlanWatcher(
            context.tasks, planner, machine or ThisMachine(), self._question, self
        )
        self._plans.planned.connect(self._on_planned)
        self._jobs.learned.connect(self._plans.wake)
        self._files = RecipeFiles(context.tasks, self)
        self._files.opened.connect(self._on_recipe)
        self._files.saved.connect(self._on_saved)
        self._files.command_ready.connect(self._on_command)
        self._files.failed.connect(self._on_failed)
        lanes = tuple(context.queue.lanes())
        self._state = WorkbenchState(
            lanes=lanes,
            lane=max(lanes, key=lambda one: one.total_bytes - one.used_bytes).id if lanes else "",
            cap=context.settings.number("jobs/trial_cap", TRIAL_CAP),
            presets=read_presets(context.settings),
            evaluations=self._sets.offered(),
        )
        self._state = replace(self._state, why_not=why_not(self._state))

    @property
    def state(self) -> WorkbenchState:
        """What the Workbench holds now."""
        return self._state

    def change(self, state: WorkbenchState) -> None:
        """Take a new state: everything that follows from it is worked out again."""
        before = self._state
        state = with_guards(before, state)
        self._guard.want(pairs_of(state))
        if state.base is not before.base and not self._evaluation_is_chosen:
            usual = self._sets.usual(state.base)
            state = replace(state, evaluation=usual, evaluations=self._sets.offered())
        if state.operation == "repair" and state.base is not None and not state.given.values:
            prompts = self._sets.prompts(state.base)
            state = edit.with_given_value(state, "safety", prompts) if prompts else state
        if asks_for_plan(before, state):
            # What could not be planned before may be mended now.
            cost = None if state.cost is not None and state.cost.error else state.cost
            state = replace(state, is_planning=True, cost=cost)
            self._plans.wake()
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

    def set_extra(self, slot: str, row: ModelRow | None) -> None:
        """Put a model in one of the operation's further slots, or take it out."""
        self.change(edit.with_extra(self._state, slot, row))

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
        receivers = {
            "base": self._on_base_rows,
            "experts": self._on_expert_rows,
            "any": self._on_any_rows,
        }
        self._slot = slot
        receiver = receivers.get(slot, self._on_extra_rows)
        self._context.tasks.start(
            lambda _: library.some_rows(wanted), succeeded=receiver, failed=self._on_failed
        )

    def take_paths(self, slot: str, paths: Sequence[str]) -> None:
        """Folders or files were dropped on ``base`` or ``experts``."""
        if slot == "base":
            self.add_base(placeholder(paths[0], "Base"))
        elif slot != "experts":
            self.set_extra(slot, placeholder(paths[0], "Expert"))
        else:
            rows = [placeholder(path, "Expert") for path in paths]
            self.change(edit.with_experts(self._state, rows))
        self._read(paths)

    def fill_demo(self, demo: DemoSet) -> None:
        """Fill in the demo: base, two experts, every method, its own evaluation."""
        self._evaluation_is_chosen = True
        self._sets.offer(str(demo.evaluation), self.tr("Demo tasks"))
        state = replace(self._state, evaluations=self._sets.offered())
        self.change(edit.with_demo(state, demo))
        self._read([str(demo.base), *(str(path) for path in demo.experts)])
        self.run_ready.emit()

    def load_recipe(self, recipe: JobRecipe | Mapping[str, Any]) -> None:
        """Fill everything in from a recipe.

        Raises:
            AppError: it is no recipe, or of a job that the Workbench does not do.
        """
        known = recipe if not isinstance(recipe, Mapping) else parse_recipe(recipe)
        if not isinstance(known, JobRecipe):
            raise AppError(
                f"a recipe of kind '{known.kind}' is nothing for the Workbench",
                fix="Open one that compresses, merges or repairs.",
            )
        if isinstance(known, ContestRecipe):
            state, exact = with_contest(self._state, known), True
        else:
            state, exact = with_recipe(self._state, known)
        self._evaluation_is_chosen = True
        if state.evaluation:
            self._sets.offer(state.evaluation)
        state = replace(state, evaluations=self._sets.offered())
        self.change(edit.with_recipe_inputs(state, known))
        self._read(edit.paths_of(self._state))
        if not exact:
            self._context.navigator.status(
                self.tr("The recipe's settings were widened to a grid of all their values")
            )

    def open_recipe(self, path: Path) -> None:
        """Read a recipe file beside the window, then fill everything in."""
        self._files.open(path, self._context.home.store / path.stem)

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
        self._sets.offer(evaluation)
        state = replace(self._state, evaluation=evaluation, evaluations=self._sets.offered())
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
        if job.recipe["kind"] in SWEEPS:
            navigator.show_page("Results", ResultsSweep(job_id=job.id))
        else:
            text = self.tr("{0}: queued. The result appears in the Library.").format(job.name)
            navigator.banner("info", text, key="workbench")
        return job

    def compare_all(self) -> Job | None:
        """Queue a comparison of all merges and show its results; None when it cannot run."""
        state = self._state
        if state.operation != "merge" or why_no_contest(state):
            return None
        recipe = contest_recipe(state, self._context.home)
        job = self._jobs.submit(state, recipe, contest_name(state))
        self._context.navigator.show_page("Results", ResultsSweep(job_id=job.id))
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
        if recipe is not None and not self._state.why_not:
            self._files.make_command(recipe, self._context.home.root / "recipes")

    def save_recipe(self, path: Path) -> None:
        """Write the recipe to a file."""
        recipe = self.recipe()
        if recipe is not None:
            self._files.save(recipe, path)

    def _submit(self) -> Job | None:
        recipe = self.recipe()
        if recipe is None or self._state.why_not:
            return None
        return self._jobs.submit(self._state, recipe)

    # --- what follows from a state ----------------------------------------------------------------

    @Slot(object)
    def _on_guard(self, news: GuardNews) -> None:
        if self._state.base is not None and news.pair[0] == self._state.base.path:
            self.change(with_news(self._state, news))

    def _match(self, base: str, expert: str, control: JobControl | None) -> Match:
        return self._context.library.match(base, expert, control)

    def _question(self) -> tuple[JobRecipe | None, str]:
        return (self.recipe() if can_be_planned(self._state) else None), self._state.lane

    @Slot(object)
    def _on_planned(self, cost: Cost | None) -> None:
        recipe = self.recipe() if cost is not None else None
        seconds = None
        if cost is not None and recipe is not None:
            seconds = self._jobs.seconds(cost.work, recipe.kind, self._state.lane)
        state = replace(self._state, cost=cost, is_planning=False, seconds=seconds)
        self._state = replace(state, why_not=why_not(state))
        self.changed.emit()

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
    def _on_extra_rows(self, rows: Sequence[ModelRow]) -> None:
        if rows:
            self.set_extra(self._slot, rows[0])

    @Slot(object)
    def _on_any_rows(self, rows: Sequence[ModelRow]) -> None:
        self.change(edit.with_roles(self._state, rows))

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
