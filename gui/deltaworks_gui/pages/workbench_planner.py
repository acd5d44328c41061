"""Asks for a plan a moment after the last change, and lets only the newest answer through."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from deltaworks.errors import AppError
from deltaworks.progress import JobControl
from deltaworks_gui.lanes.tasks import Task, TaskPool
from deltaworks_gui.pages.workbench_cost import (
    Checker,
    Machine,
    Planner,
    check_with_core,
    work_out,
)
from deltaworks_gui.pages.workbench_recipe import JobRecipe
from deltaworks_gui.pages.workbench_state import Cost

PLAN_AFTER_MS = 200

Question = Callable[[], tuple[JobRecipe | None, str]]


class PlanWatcher(QObject):
    """Works costs out beside the window.

    Args:
        tasks: where it works.
        planner: gives the plan of a recipe.
        machine: what is free.
        question: recipe and lane to plan for, asked when the time has come; no recipe
            where nothing can be planned.
        checker: what is wrong with a merge that cannot be planned.

    Signals:
        planned: a Cost; None where nothing can be planned.
    """

    planned = Signal(object)

    def __init__(
        self,
        tasks: TaskPool,
        planner: Planner,
        machine: Machine,
        question: Question,
        parent: QObject | None = None,
        checker: Checker = check_with_core,
    ) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._planner = planner
        self._machine = machine
        self._question = question
        self._checker = checker
        self._task: Task | None = None
        self._number = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PLAN_AFTER_MS)
        self._timer.timeout.connect(self._plan)

    def wake(self) -> None:
        """Something changed: plan when nothing changed for a moment."""
        self._timer.start()

    @Slot()
    def _plan(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._number += 1
        recipe, lane = self._question()
        if recipe is None:
            self.planned.emit(None)
            return
        number, wanted, planner, machine = self._number, recipe, self._planner, self._machine
        checker = self._checker

        def work(control: JobControl) -> tuple[int, Cost]:
            return number, work_out(wanted, lane, planner, machine, control, checker)

        self._task = self._tasks.start(work, succeeded=self._on_cost, failed=self._on_failed)

    @Slot(object)
    def _on_cost(self, found: tuple[int, Cost]) -> None:
        number, cost = found
        if number == self._number:
            self._task = None
            self.planned.emit(cost)

    @Slot(object)
    def _on_failed(self, error: AppError) -> None:
        self._task = None
        self.planned.emit(Cost(error=str(error)))
