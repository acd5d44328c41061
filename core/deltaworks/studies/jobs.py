"""Every kind of job by its recipe: plan it, run it."""

from __future__ import annotations

import os

from deltaworks.engine import plan, run
from deltaworks.engine.plan_types import Plan
from deltaworks.engine.reports import Report
from deltaworks.progress import Finished, JobControl
from deltaworks.recipes.schema import EvaluateRecipe, Recipe, SweepRecipe
from deltaworks.studies.evaluate import plan_evaluate, run_evaluate
from deltaworks.studies.sweep_plan import plan_sweep


def plan_job(recipe: Recipe) -> Plan:
    """Say what a job of any kind will do and cost, without torch.

    Raises:
        AppError: it cannot run; every fault that was found is in the text.
    """
    match recipe:
        case SweepRecipe():
            return plan_sweep(recipe)
        case EvaluateRecipe():
            return plan_evaluate(recipe)
        case _:
            return plan(recipe)


def run_job(recipe: Recipe, control: JobControl) -> Report:
    """Do a job of any kind; its last event is ``Finished`` with the report.

    Raises:
        CancelledError: the control was cancelled; nothing is left behind.
        AppError: it cannot be done; nothing is left behind.
    """
    match recipe:
        case SweepRecipe():
            from deltaworks.studies.sweep import run_sweep

            _set_threads(recipe.threads)
            report = run_sweep(recipe, control)
        case EvaluateRecipe():
            _set_threads(recipe.threads)
            report = run_evaluate(recipe, control)
        case _:
            report = run(recipe, control)
    control.report(Finished(report.as_json()))
    return report


def _set_threads(wanted: int) -> None:
    """Let forward passes leave a core to the window.

    On a busy machine, threads that wait for each other inside one call cost more than they
    give: the demo's sweep took 120 CPU seconds with two of them, 47 with one.
    """
    import torch

    torch.set_num_threads(wanted or max(1, (os.cpu_count() or 2) - 1))
