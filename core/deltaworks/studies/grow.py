"""SoTU as a job: a folder with the merged backbone, each task's change, and a classifier.

backbone/            as transformers saves it, float32
tasks/000-NAME.safetensors   what was kept of each task's change; masks are drawn again
head/                classifier, bound to the backbone's content hash
grow.json            accuracies of all arms, cosines, overlap, bytes
recipe.json, metrics.jsonl
"""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.checkpoints import content_hash, open_checkpoint
from deltaworks.checkpoints.head import HEAD_FOLDER, save_head
from deltaworks.checkpoints.staging import check_space, publish_folder, refuse_existing
from deltaworks.engine.environment import versions
from deltaworks.engine.faults import from_system
from deltaworks.engine.plan_types import OutputPlan, Plan, WorkItem
from deltaworks.engine.reports import Artefact, Report
from deltaworks.errors import FileError
from deltaworks.inference.vision import VisionBackbone, open_backbone
from deltaworks.progress import Event, JobControl, Measured, Warned
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name
from deltaworks.recipes.schema import GrowRecipe
from deltaworks.studies.grow_inputs import GrowInputs, make_tasks, read_inputs
from deltaworks.studies.grow_stream import run_stream
from deltaworks.studies.grow_types import Course, Grown, Task
from deltaworks.training.backbones import Tuning, put_weights, weights_of

BACKBONE, TASKS, RECORD = "backbone", "tasks", "grow.json"
RECIPE, METRICS, WORK = "recipe.json", "metrics.jsonl", ".work"
_FORMAT = "deltaworks-sparse-task-1"
_KEPT_BYTES, _WEIGHTS_HELD = 4, 4
Floats = npt.NDArray[np.float32]


def plan_grow(recipe: GrowRecipe) -> Plan:
    """Say what a job will read, hold and write, without torch.

    Raises:
        AppError: it cannot run.
    """
    target = Path(recipe.output)
    refuse_existing(target)
    inputs = read_inputs(recipe)
    with open_checkpoint(recipe.base.path) as base:
        n_weights, n_bytes = base.n_parameters, base.nbytes
    kept = int((1.0 - inputs.options.drop_rate) * n_weights * _KEPT_BYTES)
    whole = 4 * n_weights + len(recipe.tasks) * kept
    # Dense changes of all tasks lie on the disk until the job ends, and training's states.
    held = 4 * n_weights * (len(recipe.tasks) * (2 if recipe.baselines == "all" else 1) + 9)
    arms = 1 + (recipe.baselines != "none") * 3 + len(recipe.drop_rates)
    peak = 4 * n_weights * (arms + _WEIGHTS_HELD + 3)
    items = tuple(WorkItem(name, "task", n_bytes, kept, peak, tensor=name) for name in inputs.names)
    notes = (
        *inputs.notes,
        f"{len(recipe.tasks)} tasks, {len(inputs.classes)} classes, {inputs.n_images} images to "
        f"learn from, {len(inputs.test.paths)} to measure on",
        f"about {held:,} bytes of working files beside the result, until the job ends",
    )
    title = f"Grow {display_name(recipe.base.path, recipe.base.name)} by {len(recipe.tasks)} tasks"
    return Plan(title, items, (OutputPlan(str(target), whole, whole + held),), notes=notes)


def run_grow(recipe: GrowRecipe, control: JobControl, *, resume: bool = False) -> Report:
    """Train, merge, classify, compare.

    Args:
        recipe: what to do.
        control: of whoever started it.
        resume: go on from what a run of this recipe that was killed has left.

    Raises:
        CancelledError: nothing is left behind.
        AppError: it cannot be done; nothing is left behind.
    """
    plan = plan_grow(recipe)
    started = time.perf_counter()
    inputs = read_inputs(recipe)
    target = Path(recipe.output)
    check_space(target, plan.write_bytes)
    partial = _begun(target, recipe, resume=resume, control=control)
    try:
        report = _grow(recipe, inputs, partial, control)
        shutil.rmtree(partial / WORK)
        publish_folder(partial, target)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):
            raise from_system(error, str(target)) from error
        raise
    seconds = {"total": round(time.perf_counter() - started, 3)}
    return Report(
        job="grow",
        recipe=dump_recipe(recipe),
        artefacts=report["artefacts"],
        seconds=seconds,
        warnings=report["warnings"],
        versions=versions(),
        results={"grow": report["grow"]},
    )


def _begun(target: Path, recipe: GrowRecipe, *, resume: bool, control: JobControl) -> Path:
    """Give the working folder: what a killed run of the same recipe left, or a new one."""
    partial = target.with_name(f"{target.name}.partial-grow")
    head = {"recipe": dump_recipe(recipe), "versions": versions(), "inputs": _states(recipe)}
    plain = json.loads(json.dumps(head))
    mark = partial / WORK / "job.json"
    if partial.is_symlink():
        raise FileError("is a link to something else", where=str(partial), fix="Remove it.")
    if partial.exists():
        is_same = resume and mark.is_file() and json.loads(mark.read_text("utf-8")) == plain
        if is_same:
            _tidy(partial)
            return partial
        if resume:
            text = "recipe, inputs or libraries have changed since: the job starts afresh"
            control.report(Warned(text, str(target)))
        shutil.rmtree(partial)
    mark.parent.mkdir(parents=True)
    mark.write_text(json.dumps(plain), "utf-8")
    return partial


def _tidy(partial: Path) -> None:
    """Leave only the working files; the rest is written again from them."""
    for one in partial.iterdir():
        if one.name != WORK:
            shutil.rmtree(one) if one.is_dir() else one.unlink()


def _states(recipe: GrowRecipe) -> list[Any]:
    """Say of every input file how large it is and when it was written."""
    folders = [recipe.base.path, recipe.test]
    folders += [task.data for task in recipe.tasks if task.data]
    folders += [task.model.path for task in recipe.tasks if task.model]
    found = []
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                facts = path.stat()
                found.append([str(path), facts.st_size, facts.st_mtime_ns])
    return found


def _grow(
    recipe: GrowRecipe, inputs: GrowInputs, partial: Path, control: JobControl
) -> dict[str, Any]:
    lines: list[str] = []

    def report(event: Event) -> None:
        if isinstance(event, Measured):
            lines.append(json.dumps({"subject": event.subject, **event.values}))
        control.report(event)

    backbone = open_backbone(Path(recipe.base.path))
    tasks = make_tasks(recipe, inputs, backbone, weights_of(backbone))
    tuning = Tuning(**recipe.training.model_dump())
    course = Course(
        inputs.options,
        tuning,
        seed=recipe.seed,
        drop_rates=recipe.drop_rates,
        baselines=recipe.baselines,
    )
    (partial / TASKS).mkdir()

    def keep(task: Task, values: dict[str, Floats]) -> int:
        return _save_task(partial / TASKS, task, values, recipe, inputs)

    grown = run_stream(
        backbone,
        tasks,
        course,
        control.reporting_to(report),
        partial / WORK,
        class_names=inputs.classes,
        keep=keep,
    )
    (partial / RECIPE).write_text(json.dumps(dump_recipe(recipe), indent=2) + "\n", "utf-8")
    (partial / METRICS).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return _written(recipe, inputs, backbone, grown, partial, control)


def _written(
    recipe: GrowRecipe,
    inputs: GrowInputs,
    backbone: VisionBackbone,
    grown: Grown,
    partial: Path,
    control: JobControl,
) -> dict[str, Any]:
    """Write backbone, head and record; give what the report says of them."""
    put_weights(backbone, grown.weights)
    backbone.save(partial / BACKBONE)
    with open_checkpoint(str(partial / BACKBONE)) as merged:
        content = content_hash(merged, control.silent())
    if grown.head is not None and grown.head.counts.any():
        options = inputs.options
        facts = {
            "features": {"pooling": backbone.pooling, "processor": "of the backbone's folder"},
            "statistics": options.statistics,
            "strength": getattr(grown.head, "strength", None),
            "projection": options.projection if options.classifier == "ridge" else 0,
            "tasks": list(inputs.names),
        }
        # A class after the last one that has images would have no row yet.
        names = inputs.classes[: len(grown.head.counts)]
        save_head(partial / HEAD_FOLDER, grown.head, classes=names, backbone=content, facts=facts)
    found = grown.result.as_json() | {"backbone": content, "notes": _notes(inputs, grown)}
    (partial / RECORD).write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    n_bytes = sum(one.stat().st_size for one in (partial / BACKBONE).iterdir())
    target = Path(recipe.output)
    artefact = Artefact(
        path=str(target / BACKBONE),
        kind="model",
        name=f"{display_name(recipe.output)} backbone",
        expert="",
        base=recipe.base.path,
        method=recipe.setting.method,
        options=inputs.options.model_dump(mode="json"),
        file_bytes=n_bytes,
    )
    return {"artefacts": (artefact,), "warnings": tuple(_notes(inputs, grown)), "grow": found}


def _notes(inputs: GrowInputs, grown: Grown) -> list[str]:
    return [*inputs.notes, *grown.result.notes]


def _save_task(
    folder: Path,
    task: Task,
    values: dict[str, Floats],
    recipe: GrowRecipe,
    inputs: GrowInputs,
) -> int:
    """Write what is kept of one task's change; give the bytes of the file."""
    from safetensors.numpy import save_file

    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", task.name)[:60]
    path = folder / f"{task.number:03d}-{plain}.safetensors"
    facts = {
        "format": _FORMAT,
        "method": recipe.setting.method,
        "options": inputs.options.model_dump(mode="json"),
        "seed": recipe.seed,
        "task": task.number,
        "name": task.name,
    }
    # One entry: safetensors writes several in an order that changes from run to run.
    arrays = {name: np.ascontiguousarray(one) for name, one in values.items()}
    save_file(arrays, path, {"deltaworks_task": json.dumps(facts)})
    return path.stat().st_size
