from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deltaworks.evaluation.intervals import wilson
from deltaworks.evaluation.suite import Item, Task
from deltaworks.evaluation.tasks import accuracy, mean_accuracy, prepare, right_answers, spread
from deltaworks.inference import load_model
from deltaworks.inference.generation import tokens
from deltaworks.progress import JobControl

Reader = Callable[..., Any]


@pytest.fixture(scope="module")
def writer(tiny_base: Path, in_memory: Reader) -> Any:
    """A model that likes to end its texts."""
    source = in_memory(tiny_base)
    head = source.tensors["lm_head.weight"].clone()
    head[0] *= 2.2
    source.tensors["lm_head.weight"] = head
    return load_model(source)


def _written(writer: Any, prompt: str, at_most: int) -> tuple[str, bool]:
    """What it writes by itself, and whether it ended there."""
    ids = writer.text_tokenizer(prompt, add_special_tokens=False)["input_ids"]
    new = list(tokens(writer, ids, at_most))
    return writer.text_tokenizer.decode(new), len(new) < at_most


def _items(writer: Any) -> list[Item]:
    """Prompts of many lengths: its own answers whole, cut short, or altered."""
    items = []
    for number in range(120):
        prompt = "".join(chr(97 + (number * k + k * k) % 26) for k in range(1, 2 + number % 9))
        text, _ = _written(writer, prompt, 4)
        answer = (text, text[:1], text[:-1] + "?", text + "!")[number % 4]
        if answer and "<|" not in answer:
            items.append(Item(prompt, answer))
    return items


def test_one_pass_equals_true_greedy_writing(writer: Any) -> None:
    items = _items(writer)
    prepared = prepare(
        Task("t", "T", tuple(items)), writer.text_tokenizer, end_id=0, context=writer.context
    )

    found = right_answers(writer, prepared.rows, JobControl(), batch_tokens=64)

    expected = [
        _written(writer, item.prompt, len(item.answer) + 1) == (item.answer, True) for item in items
    ]
    assert found == expected
    assert 5 < sum(expected) < len(expected) - 5


def test_batches_do_not_change_the_answer(writer: Any) -> None:
    prepared = prepare(
        Task("t", "T", tuple(_items(writer))), writer.text_tokenizer, end_id=None, context=64
    )

    small, large = (
        right_answers(writer, prepared.rows, JobControl(), batch_tokens=size) for size in (1, 9999)
    )

    assert small == large


def test_items_beyond_the_context_are_counted_as_left_out(writer: Any) -> None:
    items = (Item("a", "b"), Item("a" * 70, "b"))

    prepared = prepare(Task("t", "T", items), writer.text_tokenizer, end_id=0, context=64)

    assert (len(prepared.rows), prepared.left_out) == (1, 1)


def test_choice_of_items_is_evenly_spaced() -> None:
    assert list(spread(10, 4)) == [0, 2, 5, 7]
    assert list(spread(3, None)) == list(spread(3, 9)) == [0, 1, 2]


def test_accuracy_carries_its_interval() -> None:
    measure = accuracy(Task("sums", "Sums", ()), [True, True, False, True])

    assert (measure.id, measure.value, measure.n) == ("accuracy:sums", 0.75, 4)
    assert (measure.low, measure.high) == wilson(3, 4)
    assert measure.data == "Sums, 4 items"


def test_mean_accuracy_weighs_tasks_alike() -> None:
    few = accuracy(Task("a", "A", ()), [True] * 4)
    many = accuracy(Task("b", "B", ()), [False] * 400)

    mean = mean_accuracy([few, many])

    assert mean is not None
    assert (mean.value, mean.n) == (0.5, 404)
    assert mean.low is not None
    assert mean.high is not None
    assert 0.2 < mean.low < 0.5 < mean.high < 0.51
    assert mean_accuracy([]) is None
