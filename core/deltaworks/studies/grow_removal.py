"""Taking one task out of a grown folder again: its change is subtracted, its classes go."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.checkpoints import content_hash, open_checkpoint
from deltaworks.checkpoints.head import FACTS, HEAD_FOLDER, TENSORS, StoredHead, load_head
from deltaworks.checkpoints.staging import partial_path, publish_folder, refuse_existing
from deltaworks.errors import FileError, MismatchError, OptionError
from deltaworks.inference.vision import open_backbone
from deltaworks.methods.continual.sotu import SotuOptions, remove
from deltaworks.methods.method import TensorSpec
from deltaworks.options import read_options
from deltaworks.progress import JobControl, Progress
from deltaworks.studies.grow import BACKBONE, RECORD, TASKS
from deltaworks.training.backbones import put_weights, weights_of

REMOVED = "removed.json"


def remove_task(folder: Path, name: str, output: Path, control: JobControl) -> dict[str, Any]:
    """Write a grown folder without one of its tasks.

    Tensors come within rounding (1e-6) of those of a run without the task. Means of other
    classes stay as they were computed. Accuracies are not measured again, so the new folder
    has no record of them.

    Args:
        folder: as a grow job leaves it.
        name: of the task.
        output: a new folder.
        control: progress in steps, Stop.

    Returns:
        What was removed: task, classes, weights.

    Raises:
        OptionError: there is no such task, or the head cannot forget one.
        FileError: something cannot be read, or the output is there already.
        MismatchError: the task's file is not of this backbone.
    """
    refuse_existing(output)
    tasks = _tasks(folder)
    if name not in tasks:
        known = ", ".join(tasks)
        raise OptionError(f"no task '{name}'", where=str(folder), fix=f"Choose one of {known}")
    head = load_head(folder / HEAD_FOLDER) if (folder / HEAD_FOLDER).is_dir() else None
    if head is not None and head.kind != "class-mean":
        fix = "Run grow again without the task; its recipe is in recipe.json."
        what = f"a head of type {head.kind} keeps no sums of single tasks, so it cannot forget one"
        raise OptionError(what, where=str(folder / HEAD_FOLDER), fix=fix)
    classes = _classes(folder, name)
    partial = partial_path(output, "")
    try:
        control.step(Progress(0, 2, "subtracting"))
        partial.mkdir(parents=True)
        path, facts = tasks[name]
        n_weights, content = _subtract(folder, path, facts, partial / BACKBONE, control)
        control.step(Progress(1, 2, "writing"))
        _copy_tasks(folder, partial, path)
        if head is not None:
            _write_head(head, set(classes), name, content, partial / HEAD_FOLDER)
        removed = {"task": name, "classes": classes, "weights": n_weights, "from": str(folder)}
        (partial / REMOVED).write_text(json.dumps(removed, indent=2) + "\n", "utf-8")
        publish_folder(partial, output)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    control.report(Progress(2, 2, "done"))
    return removed


def _tasks(folder: Path) -> dict[str, tuple[Path, Mapping[str, Any]]]:
    """Find the files of all tasks by name."""
    from safetensors import SafetensorError, safe_open

    found = {}
    for path in sorted((folder / TASKS).glob("*.safetensors")):
        try:
            with safe_open(path, framework="np") as file:
                facts = json.loads((file.metadata() or {})["deltaworks_task"])
            found[str(facts["name"])] = (path, facts)
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise FileError(f"is no task's file ({error})", where=str(path)) from error
    if not found:
        raise FileError("holds no tasks", where=str(folder), fix="Choose what grow has made.")
    return found


def _classes(folder: Path, name: str) -> list[str]:
    try:
        tasks = json.loads((folder / RECORD).read_text("utf-8"))["tasks"]
        return [str(one) for task in tasks if task["name"] == name for one in task["classes"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise FileError(f"cannot be read ({error})", where=str(folder / RECORD)) from error


def _subtract(
    folder: Path, path: Path, facts: Mapping[str, Any], target: Path, control: JobControl
) -> tuple[int, str]:
    """Write the backbone without a task's change; give weights touched and content hash."""
    from safetensors.numpy import load_file

    options = read_options(SotuOptions, facts["options"], where=str(path))
    seed, task, values = int(facts["seed"]), int(facts["task"]), load_file(path)
    backbone = open_backbone(folder / BACKBONE)
    weights = weights_of(backbone)
    if lacking := sorted(set(weights) ^ set(values)):
        raise MismatchError(f"{lacking[0]} is in one of them only", where=str(path))
    for name, one in weights.items():
        try:
            weights[name] = remove(
                one, values[name], TensorSpec(name, one.shape, seed), task, options
            )
        except ValueError as error:
            raise MismatchError(str(error), where=str(path)) from error
    put_weights(backbone, weights)
    backbone.save(target)
    with open_checkpoint(str(target)) as merged:
        return sum(len(one) for one in values.values()), content_hash(merged, control.silent())


def _copy_tasks(folder: Path, partial: Path, without: Path) -> None:
    (partial / TASKS).mkdir()
    for path in (folder / TASKS).glob("*.safetensors"):
        if path != without:
            shutil.copyfile(path, partial / TASKS / path.name)


def _write_head(head: StoredHead, gone: set[str], task: str, content: str, target: Path) -> None:
    """Write the class means without some classes."""
    from safetensors.numpy import save_file

    kept = [at for at, one in enumerate(head.classes) if one not in gone]
    arrays: dict[str, npt.NDArray[Any]] = {
        name: np.ascontiguousarray(one[kept]) for name, one in head.arrays.items()
    }
    target.mkdir()
    save_file(arrays, target / TENSORS)
    facts = {
        **head.facts,
        "classes": [head.classes[at] for at in kept],
        "backbone": content,
        "tasks": [one for one in head.facts.get("tasks", ()) if one != task],
    }
    (target / FACTS).write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
