"""Every kind of job by its recipe: plan it, run it."""

from __future__ import annotations

import os
from contextlib import ExitStack

from deltaworks.engine import plan, run
from deltaworks.engine.faults import from_system
from deltaworks.engine.plan_types import Plan
from deltaworks.engine.reports import Report
from deltaworks.errors import OptionError
from deltaworks.progress import Finished, JobControl
from deltaworks.recipes.schema import (
    ChannelMergeRecipe,
    ComparisonRecipe,
    CompressRecipe,
    ContestRecipe,
    EvaluateRecipe,
    ExtractRecipe,
    GenerateRecipe,
    GrowRecipe,
    Recipe,
    RepairSweepRecipe,
    SweepRecipe,
    Target,
    TransferRecipe,
)


def plan_job(recipe: Recipe) -> Plan:
    """Say what a job of any kind will do and cost, without torch.

    Raises:
        AppError: it cannot run; every fault that was found is in the text.
    """
    try:
        match recipe:
            case SweepRecipe():
                from deltaworks.studies.sweep_plan import plan_sweep

                return plan_sweep(recipe)
            case RepairSweepRecipe():
                from deltaworks.studies.safety_plan import plan_repair_sweep

                return plan_repair_sweep(recipe)
            case EvaluateRecipe():
                from deltaworks.studies.evaluate import plan_evaluate

                return plan_evaluate(recipe)
            case GenerateRecipe():
                from deltaworks.studies.generate import plan_generate

                return plan_generate(recipe)
            case ExtractRecipe():
                from deltaworks.engine.extract import open_extract

                with ExitStack() as open_files:
                    return open_extract(recipe, open_files).plan()
            case TransferRecipe():
                from deltaworks.engine.transfer_plan import plan_transfer

                return plan_transfer(recipe)
            case ChannelMergeRecipe():
                from deltaworks.engine.channel_merge import open_channel_merge

                with ExitStack() as open_files:
                    return open_channel_merge(recipe, open_files).plan()
            case ContestRecipe():
                from deltaworks.studies.contest_plan import plan_contest

                return plan_contest(recipe)
            case GrowRecipe():
                from deltaworks.studies.grow import plan_grow

                return plan_grow(recipe)
            case ComparisonRecipe():
                from deltaworks.studies.comparison import plan_comparison

                return plan_comparison(recipe)
            case CompressRecipe(target=Target()):
                from deltaworks.studies.fitting import plan_fit

                return plan_fit(recipe)
            case _:
                return plan(recipe)
    except OSError as error:  # a path that the system does not take
        raise from_system(error, "recipe") from error


def run_job(recipe: Recipe, control: JobControl, *, resume: bool = False) -> Report:
    """Do a job of any kind; its last event is ``Finished`` with the report.

    Args:
        recipe: what to do.
        control: of whoever started it.
        resume: go on from what a run of this recipe that was killed has left.

    Raises:
        OptionError: to be resumed, and of a kind that cannot.
        CancelledError: the control was cancelled; nothing is left behind.
        AppError: it cannot be done; nothing is left behind.
    """
    if resume and isinstance(
        recipe,
        (RepairSweepRecipe | EvaluateRecipe | GenerateRecipe | ComparisonRecipe | ContestRecipe)
        | ExtractRecipe,
    ):
        what = f"a recipe of kind '{recipe.kind}' cannot be resumed"
        raise OptionError(what, fix="Run it from its beginning.")
    match recipe:
        case SweepRecipe():
            from deltaworks.studies.sweep import run_sweep

            _set_threads(recipe.threads)
            report = run_sweep(recipe, control, resume=resume)
        case RepairSweepRecipe():
            from deltaworks.studies.safety_tradeoff import run_repair_sweep

            _set_threads(recipe.threads)
            report = run_repair_sweep(recipe, control)
        case EvaluateRecipe():
            from deltaworks.studies.evaluate import run_evaluate

            _set_threads(recipe.threads)
            report = run_evaluate(recipe, control)
        case GenerateRecipe():
            from deltaworks.studies.generate import run_generate

            _set_threads(recipe.threads)
            report = run_generate(recipe, control)
        case ExtractRecipe():
            from deltaworks.engine.extract import run_extract

            report = run_extract(recipe, control)
        case TransferRecipe():
            from deltaworks.engine.transfer import run_transfer

            _set_threads(recipe.threads)
            report = run_transfer(recipe, control, resume=resume)
        case ChannelMergeRecipe():
            from deltaworks.engine.channel_merge import run_channel_merge

            report = run_channel_merge(recipe, control)
        case ContestRecipe():
            from deltaworks.studies.merge_contest import run_contest

            _set_threads(recipe.threads)
            report = run_contest(recipe, control)
        case GrowRecipe():
            from deltaworks.studies.grow import run_grow

            _set_threads(recipe.threads)
            report = run_grow(recipe, control, resume=resume)
        case ComparisonRecipe():
            from deltaworks.studies.comparison import run_comparison

            _set_threads(recipe.threads)
            report = run_comparison(recipe, control)
        case CompressRecipe(target=Target()):
            from deltaworks.studies.fitting import run_fit

            report = run_fit(recipe, control)
        case _:
            report = run(recipe, control, resume=resume)
    control.report(Finished(report.as_json()))
    return report


def _set_threads(wanted: int) -> None:
    """Let forward passes leave a core to the window.

    On a busy machine, threads that wait for each other inside one call cost more than they
    give: the demo's sweep took 120 CPU seconds with two of them, 47 with one.
    """
    import torch

    torch.set_num_threads(wanted or max(1, (os.cpu_count() or 2) - 1))
