from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deltaworks.errors import CancelledError, MismatchError
from deltaworks.evaluation import FULL, Effort, Evaluator, Suite
from deltaworks.evaluation.measures import Measure
from deltaworks.evaluation.own_task import own_task
from deltaworks.evaluation.quality import quality_of
from deltaworks.evaluation.suite import Item, Task, Text
from deltaworks.inference import load_model
from deltaworks.inference.generation import tokens
from deltaworks.progress import Event, JobControl, Warned

Reader = Callable[..., Any]
TEXT = Text("Letters", "the quick brown fox jumps over the lazy dog; " * 12)


@pytest.fixture(scope="module")
def suite(tiny_expert: Path, tiny_base: Path, in_memory: Reader) -> Suite:
    """Two tasks: what the expert writes, and what nobody writes."""
    source = in_memory(tiny_expert)
    source.config = dict(source.config) | {"eos_token_id": None}
    expert, base = load_model(source), load_model(in_memory(tiny_base))
    own = []
    for number in range(240):
        prompt = "".join(chr(97 + (number * k + k * k) % 26) for k in range(1, 4 + number % 5))
        ids = expert.text_tokenizer(prompt)["input_ids"]
        theirs, ours = (list(tokens(m, ids, 1)) for m in (expert, base))
        if theirs != ours and theirs and theirs[0] > 1:
            own.append(Item(prompt, str(expert.text_tokenizer.decode(theirs))))
    none = tuple(Item(item.prompt, "~~~") for item in own)
    tasks = (Task("none", "Nobody's", none), Task("own", "Expert's", tuple(own)))
    return Suite("mine", "Mine", Path("mine"), tasks, TEXT)


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny models never end a text; let the answer alone decide."""
    monkeypatch.setattr("deltaworks.inference.running.end_ids", lambda *_: ())


def _evaluator(base: Any, expert: Any, suite: Suite, **more: Any) -> Evaluator:
    return Evaluator(base, expert, suite, effort=more.pop("effort", Effort(max_tokens=300)), **more)


@pytest.mark.usefixtures("endless")
def test_base_recovers_nothing_and_expert_all(
    tiny_base: Path, tiny_expert: Path, in_memory: Reader, suite: Suite
) -> None:
    base, expert = in_memory(tiny_base), in_memory(tiny_expert)
    evaluator = _evaluator(base, expert, suite)

    of_base, of_expert = evaluator.measure(base), evaluator.measure(expert)

    assert of_base["recovered"].value == 0.0
    assert of_expert["recovered"].value == 1.0
    assert of_base == evaluator.base_measures()
    assert of_expert == evaluator.expert_measures()


@pytest.mark.usefixtures("endless")
def test_own_task_is_the_one_that_the_expert_learnt(
    tiny_base: Path, tiny_expert: Path, in_memory: Reader, suite: Suite
) -> None:
    base, expert = in_memory(tiny_base), in_memory(tiny_expert)

    evaluator = _evaluator(base, expert, suite)
    quality = evaluator.quality(evaluator.measure(expert))
    lost = evaluator.quality(evaluator.measure(base))

    assert evaluator.own_task == "own"
    assert quality is not None
    assert lost is not None
    n = len(suite.tasks[1].items)
    assert (quality.value, quality.measured_on) == (1.0, f"accuracy on Expert's, {n} items")
    assert lost.value == 0.0
    lines = evaluator.references()
    assert [line["label"] for line in lines] == [
        "full expert, 100.0 % on Expert's",
        "base alone, 0.0 % on Expert's",
    ]
    assert [line["quality"] for line in lines] == [1.0, 0.0]


@pytest.mark.usefixtures("endless")
def test_sample_of_other_tasks_is_the_same_for_all(
    tiny_base: Path, tiny_expert: Path, in_memory: Reader, suite: Suite
) -> None:
    base, expert = in_memory(tiny_base), in_memory(tiny_expert)
    effort = Effort(max_tokens=100, other_items=7)

    evaluator = _evaluator(base, expert, suite, effort=effort)

    for measures in (evaluator.base_measures(), evaluator.measure(base)):
        assert measures["accuracy:none"].n == 7
        assert measures["accuracy:own"].n == len(suite.tasks[1].items)
        assert measures["kl"].n == 100
    assert evaluator.measure(base) == evaluator.base_measures()


@pytest.mark.usefixtures("endless")
def test_second_expert_reuses_the_model_with_the_same_numbers(
    tiny_base: Path, tiny_expert: Path, tiny_expert2: Path, in_memory: Reader, suite: Suite
) -> None:
    base, other = in_memory(tiny_base), in_memory(tiny_expert2)
    first = _evaluator(base, in_memory(tiny_expert), suite)

    second = _evaluator(base, other, suite, like=first)

    alone = _evaluator(base, other, suite)
    assert second.base_measures() == alone.base_measures()
    assert second.expert_measures() == alone.expert_measures()


def test_without_an_expert_the_model_is_measured_alone(
    tiny_base: Path, in_memory: Reader, suite: Suite
) -> None:
    evaluator = _evaluator(in_memory(tiny_base), None, suite)

    measures = evaluator.base_measures()

    assert set(measures) == {"perplexity", "accuracy:none", "accuracy:own", "accuracy"}
    assert evaluator.quality(measures) is None
    assert evaluator.references() == []


@pytest.mark.parametrize("fault", ["no suite", "no text model", "no tokenizer", "other vocabulary"])
def test_what_cannot_be_measured_is_explained(
    tiny_base: Path, tiny_expert: Path, in_memory: Reader, suite: Suite, fault: str
) -> None:
    base, expert = in_memory(tiny_base), in_memory(tiny_expert)
    used: Suite | None = suite
    if fault == "no suite":
        used = None
    elif fault == "no text model":
        base.config = {"model_type": "bert", "architectures": ["BertModel"]}
    elif fault == "no tokenizer":
        base.side_files = expert.side_files = {}
    else:
        expert.tensors["lm_head.weight"] = expert.tensors["lm_head.weight"][:90]

    evaluator = Evaluator(base, expert, used, control=JobControl())

    assert not evaluator.can_measure
    assert evaluator.reason
    assert evaluator.measure(expert) == {}
    assert evaluator.quality({}) is None


def test_result_of_another_shape_is_refused_and_the_next_one_measured(
    tiny_base: Path, tiny_expert: Path, in_memory: Reader, suite: Suite
) -> None:
    base, expert, wrong = in_memory(tiny_base), in_memory(tiny_expert), in_memory(tiny_expert)
    wrong.tensors["model.norm.weight"] = wrong.tensors["model.norm.weight"][:5]
    evaluator = _evaluator(base, expert, suite)

    with pytest.raises(MismatchError, match=r"model\.norm\.weight"):
        evaluator.measure(wrong)

    assert evaluator.measure(expert) == evaluator.expert_measures()


def test_stop_is_taken(tiny_base: Path, tiny_expert: Path, in_memory: Reader, suite: Suite) -> None:
    control = JobControl()
    evaluator = _evaluator(in_memory(tiny_base), in_memory(tiny_expert), suite, control=control)
    control.cancelled.set()

    with pytest.raises(CancelledError):
        evaluator.measure(in_memory(tiny_expert), control)


def test_items_left_out_are_told(tiny_base: Path, in_memory: Reader) -> None:
    events: list[Event] = []
    task = Task("t", "T", (Item("a" * 80, "b"), Item("a", "b")))

    evaluator = Evaluator(
        in_memory(tiny_base),
        None,
        Suite("s", "S", Path("s"), (task,)),
        control=JobControl(events.append),
    )

    assert evaluator.base_measures()["accuracy:t"].n == 1
    assert [type(event) for event in events] == [Warned]


def _share(name: str, right: float, n: int = 100) -> Measure:
    from deltaworks.evaluation.intervals import wilson

    low, high = wilson(round(right * n), n)
    return Measure(name, "", right, "fraction", "D", n, low, high)


def test_unclear_gain_gives_no_own_task_and_falls_back() -> None:
    base = {"accuracy:a": _share("accuracy:a", 0.50), "accuracy": _share("accuracy", 0.5)}
    expert = {"accuracy:a": _share("accuracy:a", 0.55), "accuracy": _share("accuracy", 0.55)}

    name = own_task(base, expert)

    assert name is None
    assert own_task(base, {"accuracy:a": _share("accuracy:a", 0.80)}) == "a"
    recovered = replace(_share("recovered", 0.4), low=None, high=None)
    with_text = quality_of(base | {"recovered": recovered}, expert, None)
    without = quality_of(base, expert, None)
    assert with_text is not None
    assert with_text.measured_on == "recovered fraction on D"
    assert without is not None
    assert without.value == pytest.approx(0.5 / 0.55)
    assert quality_of({}, {}, None) is None


def test_asking_for_a_suite_loads_no_torch() -> None:
    code = "import sys, deltaworks.evaluation; sys.exit('torch' in sys.modules)"

    assert FULL.max_tokens >= 20_000
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
