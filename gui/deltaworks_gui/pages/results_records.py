"""Sweeps on disk: their records, and the recipe that makes one of their deltas again."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from deltaworks.errors import FileError
from deltaworks.progress import JobControl
from deltaworks.recipes.naming import delta_name
from deltaworks.recipes.schema import (
    CompressRecipe,
    ModelRef,
    RepairRecipe,
    RepairSweepRecipe,
    Setting,
)
from deltaworks.studies.trials import Sweep, Trial

log = logging.getLogger(__name__)

RECORD = "sweep.json"
_SHARED = ("scope", "seed", "device", "memory_bytes", "threads")
"""What a sweep's recipe says of the compression beside inputs and settings."""


def read_records(folder: Path, control: JobControl) -> list[Sweep]:
    """Read every sweep's record; one that cannot be read is logged and left out.

    A sweep whose window went away while it ran is told as stopped.
    """
    found = []
    for path in sorted(folder.glob(f"*/{RECORD}")):
        control.check()
        try:
            found.append(_ended(Sweep.from_json(json.loads(path.read_text(encoding="utf-8")))))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s: not a readable record of a sweep (%s)", path, error)
    return found


def write_record(sweep: Sweep, folder: Path) -> None:
    """Bring a sweep's record up to date, if it has one; whole or not at all.

    Raises:
        FileError: it cannot be written.
    """
    path = place_of(sweep, folder) / RECORD
    if not path.exists():
        return
    write_whole(path, json.dumps(sweep.as_json(), indent=2) + "\n")


def write_whole(path: Path, text: str) -> Path:
    """Write a file whole or not at all.

    Raises:
        FileError: the place cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8", newline="")
        partial.replace(path)
    except OSError as error:
        raise FileError(f"cannot be written ({error})", where=str(path)) from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def place_of(sweep: Sweep, folder: Path) -> Path:
    """The folder of a sweep's record and deltas."""
    output = sweep.recipe.get("output")
    return Path(output) if output else folder / sweep.id


def keep_recipe(sweep: Sweep, trial: Trial, folder: Path) -> CompressRecipe | RepairRecipe:
    """What makes a trial's result again, under the name that the sweep would have given it."""
    if sweep.recipe.get("kind") == "repair-sweep":
        from deltaworks.studies.safety_plan import model_name, repair_recipe

        recipe = RepairSweepRecipe.model_validate(sweep.recipe)
        setting = Setting(method=trial.method, options=trial.options)
        target = place_of(sweep, folder) / model_name(trial.expert, trial)
        return repair_recipe(recipe, setting, target)
    experts = [_ref(one) for one in sweep.recipe.get("experts", ())]
    expert = next((one for one in experts if one.path == trial.expert_path), None)
    base = _ref(sweep.recipe.get("base", {"path": sweep.base_path}))
    name = delta_name(trial.expert, trial.method, trial.settings)
    return CompressRecipe(
        base=base.model_copy(update={"name": base.name or sweep.base}),
        experts=(
            (expert or ModelRef(path=trial.expert_path)).model_copy(update={"name": trial.expert}),
        ),
        settings=(Setting(method=trial.method, options=trial.options),),
        output=str(place_of(sweep, folder) / name),
        **{one: sweep.recipe[one] for one in _SHARED if one in sweep.recipe},
    )


def _ref(data: dict[str, Any]) -> ModelRef:
    return ModelRef.model_validate(data)


def _ended(sweep: Sweep) -> Sweep:
    if sweep.state != "running":
        return sweep
    trials = tuple(
        trial if trial.state in ("done", "failed") else replace(trial, state="cancelled")
        for trial in sweep.trials
    )
    return replace(sweep, state="cancelled", trials=trials)
