"""Task accuracy by exact match, in one forward pass an item.

A greedy writer gives the whole answer exactly when, fed the answer, it finds each of its
tokens likeliest in turn, and then the end token. So one pass decides what generation
would take a pass a token for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from deltaworks.evaluation.intervals import wilson
from deltaworks.evaluation.measures import Measure
from deltaworks.evaluation.suite import Task
from deltaworks.inference.running import RunningModel
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Row:
    """One item in tokens: prompt, answer and end token.

    Args:
        ids: all of them.
        prompt: how many of them are the prompt.
        place: its place among the chosen items.
    """

    ids: tuple[int, ...]
    prompt: int
    place: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task ready to run.

    Args:
        task: what it is.
        rows: chosen items, in file order.
        left_out: chosen items that do not fit into the model's context.
    """

    task: Task
    rows: tuple[Row, ...]
    left_out: int = 0


def prepare(
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    *,
    end_id: int | None,
    context: int,
    max_items: int | None = None,
) -> Prepared:
    """Turn items into tokens: prompt and answer apart, no special tokens between.

    Args:
        task: the items.
        tokenizer: one for all models of a comparison.
        end_id: token that must follow the answer; None when the model knows none.
        context: most tokens the model takes.
        max_items: evenly spaced choice; None takes all.
    """
    chosen = spread(len(task.items), max_items)
    prompts = _tokens([task.items[i].prompt for i in chosen], tokenizer)
    answers = _tokens([task.items[i].answer for i in chosen], tokenizer)
    end = () if end_id is None else (end_id,)
    rows = [
        Row((*prompt, *answer, *end), len(prompt), place)
        for place, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
    ]
    fitting = tuple(row for row in rows if row.prompt and len(row.ids) - 1 <= context)
    return Prepared(task, fitting, len(rows) - len(fitting))


def spread(n: int, at_most: int | None) -> range | list[int]:
    """Choose up to ``at_most`` of ``n`` places, evenly spaced: files may be sorted."""
    if at_most is None or at_most >= n:
        return range(n)
    return [place * n // at_most for place in range(at_most)]


def _tokens(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    found: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return found


def right_answers(
    running: RunningModel, rows: Sequence[Row], control: JobControl, *, batch_tokens: int
) -> list[bool]:
    """Say for each row whether greedy writing would give the answer, whole and nothing more."""
    found: dict[int, bool] = {}
    for batch in _batches(rows, batch_tokens):
        control.check()
        for row, right in zip(batch, _run(running, batch), strict=True):
            found[row.place] = right
    return [found[row.place] for row in rows]


def _batches(rows: Sequence[Row], batch_tokens: int) -> Iterator[list[Row]]:
    """Group rows of like length, so that little is padding."""
    batch: list[Row] = []
    for row in sorted(rows, key=lambda row: (len(row.ids), row.prompt, row.place)):
        if batch and (len(batch) + 1) * len(row.ids) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _run(running: RunningModel, batch: list[Row]) -> list[bool]:
    width = max(len(row.ids) for row in batch) - 1
    last = width - (min(row.prompt for row in batch) - 1)
    ids, mask, targets, counted = _padded(batch, width)
    padded = mask if not bool(mask.all()) else None
    likeliest = running.logits(ids, padded, last=last).argmax(-1).cpu()
    wrong = (likeliest != targets[:, -last:]) & counted[:, -last:]
    return [not bool(row.any()) for row in wrong]


def _padded(batch: list[Row], width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lay out inputs, mask, targets and the positions that count, ``(rows, width)`` each."""
    import torch

    ids = torch.zeros(len(batch), width + 1, dtype=torch.long)
    mask = torch.zeros(len(batch), width, dtype=torch.long)
    counted = torch.zeros(len(batch), width, dtype=torch.bool)
    for place, row in enumerate(batch):
        n = len(row.ids)
        ids[place, :n] = torch.tensor(row.ids)
        mask[place, : n - 1] = 1
        counted[place, row.prompt - 1 : n - 1] = True
    return ids[:, :-1], mask, ids[:, 1:], counted


def accuracy(task: Task, right: Sequence[bool]) -> Measure:
    """Give the share of right answers with its Wilson interval."""
    n, hits = len(right), sum(right)
    low, high = wilson(hits, n)
    return Measure(
        id=f"accuracy:{task.id}",
        title=f"Accuracy, {task.title}",
        value=hits / n if n else 0.0,
        unit="fraction",
        data=f"{task.title}, {n:,} items",
        n=n,
        low=low,
        high=high,
    )


def mean_accuracy(parts: Sequence[Measure]) -> Measure | None:
    """Average over tasks, each weighing the same; None without tasks.

    The interval adds the squared arms of the tasks' own intervals (MOVER; Zou and
    Donner 2008), which are independent.
    """
    if not parts:
        return None
    k = len(parts)
    mean = sum(part.value for part in parts) / k
    below = sqrt(sum((part.value - (part.low or 0.0)) ** 2 for part in parts)) / k
    above = sqrt(sum(((part.high or part.value) - part.value) ** 2 for part in parts)) / k
    n = sum(part.n for part in parts)
    data = f"{k} tasks, {n:,} items"
    return Measure(
        "accuracy", "Mean accuracy", mean, "fraction", data, n, mean - below, mean + above
    )
