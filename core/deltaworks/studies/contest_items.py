"""Which items choose and which ones count, so that the winner is not measured on its choice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deltaworks.evaluation import Suite
from deltaworks.evaluation.suite import Task

_EVERY = 4
_FEWEST = 40


def split(suite: Suite) -> tuple[Suite | None, Suite]:
    """Set every fourth item of each task aside for choosing.

    Args:
        suite: as it was loaded.

    Returns:
        What chooses, None when a task is too small to be cut; and what counts.
    """
    if not suite.tasks or any(len(task.items) < _FEWEST for task in suite.tasks):
        return None, suite
    choosing = tuple(_part(task, chosen=True) for task in suite.tasks)
    counting = tuple(_part(task, chosen=False) for task in suite.tasks)
    return replace(suite, tasks=choosing, text=None), replace(suite, tasks=counting, text=None)


def _part(task: Task, *, chosen: bool) -> Task:
    items = tuple(
        item for place, item in enumerate(task.items) if (place % _EVERY == _EVERY - 1) == chosen
    )
    return replace(task, items=items)


def write_texts(tasks: Sequence[Task], path: Path) -> None:
    """Write items as texts that methods with data can read, a prompt and its answer a line."""
    lines = [
        json.dumps({"prompt": item.prompt, "answer": item.answer}, ensure_ascii=False)
        for task in tasks
        for item in task.items
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
