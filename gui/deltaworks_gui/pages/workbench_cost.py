"""What a job would cost, worked out beside the window."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from deltaworks.engine.plan_types import Check, Plan
from deltaworks.errors import AppError, CancelledError
from deltaworks.progress import JobControl
from deltaworks.recipes.schema import MergeRecipe, RepairRecipe, RepairSweepRecipe, SweepRecipe
from deltaworks_gui.pages.workbench_recipe import JobRecipe
from deltaworks_gui.pages.workbench_state import Cost
from deltaworks_gui.settings import Settings
from deltaworks_gui.status_bar import reserve_bytes

Planner = Callable[[JobRecipe], Plan]
Checker = Callable[[MergeRecipe], tuple[Check, ...]]

RUNTIME_BYTES = 400_000_000
"""Resident memory of an engine with torch and transformers loaded and nothing to do [M]."""

_MEASURING = 2
"""A model that is measured runs in float32: twice the bytes of 16-bit weights."""

_TIGHT = 0.8
_SPREAD = (0.75, 1.3)
_NEW = 0.4


class Machine(Protocol):
    """What is free, in bytes. Asked beside the window."""

    def disk(self, place: Path) -> tuple[int, int]:
        """Free and total bytes of the volume of a place that may not exist yet."""

    def memory(self, lane: str) -> tuple[int, int]:
        """Free and total bytes of a lane's memory."""


class ThisMachine:
    """The real one."""

    def disk(self, place: Path) -> tuple[int, int]:
        """Free and total bytes of the volume of a place that may not exist yet."""
        while not place.exists() and place != place.parent:
            place = place.parent
        usage = shutil.disk_usage(place)
        return usage.free, usage.total

    def memory(self, lane: str) -> tuple[int, int]:  # noqa: ARG002 - the CPU's is the only lane yet
        """Free and total bytes of main memory."""
        import psutil

        memory = psutil.virtual_memory()
        return int(memory.available), int(memory.total)


def plan_with_core(recipe: JobRecipe) -> Plan:
    """The core's plan, from headers alone."""
    from deltaworks.studies.jobs import plan_job

    return plan_job(recipe)


def check_with_core(recipe: MergeRecipe) -> tuple[Check, ...]:
    """What the core finds wrong with a merge, and what it finds right."""
    from deltaworks.engine import preflight

    try:
        return preflight(recipe)
    except (AppError, OSError):
        return ()  # the plan's error says it


def work_out(
    recipe: JobRecipe,
    lane: str,
    planner: Planner,
    machine: Machine,
    control: JobControl,
    checker: Checker = check_with_core,
) -> Cost:
    """Plan a job and look at what is free; of a merge that cannot run, say all that is wrong.

    Raises:
        CancelledError: a newer one is wanted.
    """
    control.check()
    try:
        plan = planner(recipe)
    except CancelledError:
        raise
    except AppError as error:
        checks = checker(recipe) if isinstance(recipe, MergeRecipe) else ()
        return Cost(error=str(error), checks=checks)
    control.check()
    disk_free, disk_total = machine.disk(Path(recipe.output))
    memory_free, memory_total = machine.memory(lane)
    held = max(plan.peak_bytes, min(recipe.memory_bytes, plan.read_bytes))
    count = 1 if isinstance(recipe, RepairRecipe | RepairSweepRecipe) else len(recipe.experts)
    original = plan.original_bytes // max(1, count)
    if isinstance(recipe, SweepRecipe | RepairSweepRecipe) and recipe.evaluation:
        held = max(held, _MEASURING * original)
    return Cost(
        read=plan.read_bytes,
        write=plan.write_bytes,
        work=plan.work_bytes,
        low=min((one.bytes_low for one in plan.outputs), default=0),
        high=max((one.bytes_high for one in plan.outputs), default=0),
        original=original,
        peak=held + RUNTIME_BYTES,
        disk_free=disk_free,
        disk_total=disk_total,
        memory_free=memory_free,
        memory_total=memory_total,
        notes=plan.notes,
        checks=plan.checks,
        parameters=plan.parameters,
    )


def memory_word(cost: Cost) -> str:
    """``fits``, ``tight`` or ``will not fit``."""
    if cost.peak > cost.memory_free:
        return "will not fit"
    return "tight" if cost.peak > _TIGHT * cost.memory_free else "fits"


def is_disk_short(cost: Cost) -> bool:
    """Whether the result and the reserve are more than what is free."""
    return cost.write + reserve_bytes(cost.disk_total) > cost.disk_free


class PastSpeed:
    """How many bytes of work a second past jobs did, by kind and lane.

    Args:
        settings: where it is remembered.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def seconds(self, work: int, kind: str, lane: str) -> tuple[float, float] | None:
        """Shortest and longest time to expect; None before the first job."""
        speed = self._settings.real(f"speed/{lane}-{kind}")
        if speed <= 0 or work <= 0:
            return None
        return _SPREAD[0] * work / speed, _SPREAD[1] * work / speed

    def learn(self, work: int, seconds: float, kind: str, lane: str) -> None:
        """Take in a job that succeeded."""
        if work <= 0 or seconds <= 0:
            return
        key, speed = f"speed/{lane}-{kind}", work / seconds
        before = self._settings.real(key)
        self._settings.set(key, speed if before <= 0 else (1 - _NEW) * before + _NEW * speed)
