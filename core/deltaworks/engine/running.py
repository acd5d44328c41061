"""Recipe in, plan or report out: which job a recipe is.

Each kind of job is imported when there is one of it, so that a start pays for one only.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from deltaworks.engine.faults import placed
from deltaworks.engine.plan_types import Plan
from deltaworks.engine.reports import Report
from deltaworks.errors import AppError
from deltaworks.numerics.device_link import computing_on
from deltaworks.progress import JobControl, Warned
from deltaworks.recipes.schema import (
    CompressRecipe,
    FuseRecipe,
    MergeRecipe,
    RebuildRecipe,
    RepairRecipe,
)

EngineRecipe = CompressRecipe | FuseRecipe | MergeRecipe | RebuildRecipe | RepairRecipe


def plan(recipe: EngineRecipe) -> Plan:
    """Say what a job will do and cost, from headers alone and without torch.

    Raises:
        AppError: the job cannot run; every fault that was found is in the text.
    """
    with ExitStack() as open_files:
        match recipe:
            case CompressRecipe():
                from deltaworks.engine.compress_plan import open_compress

                return open_compress(recipe, open_files).plan()
            case MergeRecipe():
                from deltaworks.engine.merge_plan import open_merge

                return open_merge(recipe, open_files).plan()
            case FuseRecipe():
                from deltaworks.engine.fuse_plan import open_fuse

                return open_fuse(recipe, open_files).plan()
            case RebuildRecipe():
                from deltaworks.engine.rebuild import open_rebuild

                return open_rebuild(recipe, open_files).plan()
            case RepairRecipe():
                from deltaworks.engine.repair_plan import open_repair, plan_of

                return plan_of(open_repair(recipe, open_files))


def run(recipe: EngineRecipe, control: JobControl, *, resume: bool = False) -> Report:
    """Do a job.

    Args:
        recipe: what to do.
        control: of whoever started it.
        resume: go on from what a run of this recipe that was killed has left; the result
            has the same bytes as one of an undisturbed run. Without it, such rests are
            taken away.

    Raises:
        CancelledError: the control was cancelled; nothing is left behind.
        AppError: it cannot be done; nothing is left behind.
    """
    try:
        from deltaworks.engine.device_choice import resolve_device
        from deltaworks.engine.devices import open_link

        recipe = recipe.model_copy(update={"device": resolve_device(recipe)})
        warn = partial(_warn, control)
        with computing_on(open_link(recipe.device, warn)):
            return _run(recipe, control, resume=resume)
    except (OSError, MemoryError, RuntimeError) as error:
        # What failed outside of a work item, such as a journal on a full disk.
        found = placed(error, str(recipe.output))
        if isinstance(found, AppError):
            raise found from error
        raise


def _warn(control: JobControl, text: str) -> None:
    control.report(Warned(text))


def _run(recipe: EngineRecipe, control: JobControl, *, resume: bool) -> Report:
    if resume and isinstance(recipe, MergeRecipe | RebuildRecipe):
        from deltaworks.engine.finished import finished_before

        finished = finished_before(recipe)
        if finished is not None:
            return finished
    match recipe:
        case CompressRecipe():
            from deltaworks.engine.compress import run_compress

            return run_compress(recipe, control, resume=resume)
        case MergeRecipe():
            from deltaworks.engine.merge import run_merge

            return run_merge(recipe, control, resume=resume)
        case FuseRecipe():
            from deltaworks.engine.fuse import run_fuse

            return run_fuse(recipe, control, resume=resume)
        case RebuildRecipe():
            from deltaworks.engine.rebuild import run_rebuild

            return run_rebuild(recipe, control, resume=resume)
        case RepairRecipe():
            from deltaworks.engine.repair import run_repair

            return run_repair(recipe, control, resume=resume)
