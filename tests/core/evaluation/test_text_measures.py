from __future__ import annotations

from collections.abc import Callable
from math import exp
from pathlib import Path
from typing import Any

import pytest
import torch

from deltaworks.errors import CancelledError
from deltaworks.evaluation.measures import Measure
from deltaworks.evaluation.recovered import recovered
from deltaworks.evaluation.reference import KeptReference, RunningReference, reference_of
from deltaworks.evaluation.suite import Text
from deltaworks.evaluation.table import AGAINST_EXPERT, ALONE
from deltaworks.evaluation.text_pass import measure_text
from deltaworks.evaluation.windows import Windows, cut
from deltaworks.inference import load_model
from deltaworks.progress import JobControl

Reader = Callable[..., Any]
TEXT = Text("Letters", "the quick brown fox jumps over the lazy dog; " * 12)


def _windows(running: Any, **changes: Any) -> Windows:
    limits = {"max_tokens": 300, "width": 32, "stride": 32, "batch_tokens": 128} | changes
    return cut(TEXT, running.text_tokenizer, **limits)


def _slow(base: Any, expert: Any, windows: Windows) -> dict[str, float]:
    """Everything position by position in float64, from the definitions."""
    import torch.nn.functional as fn

    kl, same, five, gap, nll, n = 0.0, 0, 0.0, 0.0, 0.0, 0
    for (inputs, targets), skips in zip(windows.batches, windows.skips, strict=True):
        for ids, goal, skip in zip(inputs, targets, skips, strict=True):
            ours = base.logits(ids[None])[0].double()
            theirs = expert.logits(ids[None])[0].double()
            for t in range(skip, len(ids)):
                p, q = theirs[t].softmax(-1), ours[t].softmax(-1)
                kl += float(fn.kl_div(q.log(), p, reduction="sum"))
                same += int(p.argmax() == q.argmax())
                five += len(set(p.topk(5).indices.tolist()) & set(q.topk(5).indices.tolist())) / 5
                gap = max(gap, float((theirs[t] - ours[t]).abs().max()))
                nll -= float(q[goal[t]].log())
                n += 1
    return {
        "kl": kl / n,
        "top1-agreement": same / n,
        "top5-overlap": five / n,
        "logit-gap": gap,
        "perplexity": exp(nll / n),
    }


@pytest.mark.parametrize("stride", [32, 12])
def test_measures_equal_a_slow_float64_reference(
    tiny_base: Path, tiny_expert: Path, in_memory: Reader, stride: int
) -> None:
    base, expert = load_model(in_memory(tiny_base)), load_model(in_memory(tiny_expert))
    windows = _windows(base, stride=stride)
    reference = KeptReference(expert, windows, JobControl())

    measures = measure_text(base, windows, reference, JobControl())

    slow = _slow(base, expert, windows)
    assert {name: m.value for name, m in measures.items()} == pytest.approx(slow, rel=2e-5)
    step = "" if stride == 32 else ", stride 12"
    data = f"Letters, 300 tokens in windows of 32{step}"
    assert all(m.n == 300 and m.data == data for m in measures.values())
    for name in ("kl", "perplexity", "top1-agreement", "top5-overlap"):
        low, high = measures[name].low, measures[name].high
        assert low is not None
        assert high is not None
        assert low < measures[name].value < high


def test_model_against_itself_has_no_divergence_at_all(
    tiny_expert: Path, in_memory: Reader
) -> None:
    expert = load_model(in_memory(tiny_expert))
    windows = _windows(expert)
    reference = KeptReference(expert, windows, JobControl())

    measures = measure_text(expert, windows, reference, JobControl())

    assert measures["kl"].value == 0.0
    assert measures["logit-gap"].value == 0.0
    assert measures["top1-agreement"].value == measures["top5-overlap"].value == 1.0


def test_large_vocabularies_are_computed_again_with_the_same_result(
    tiny_base: Path, tiny_expert: Path, in_memory: Reader
) -> None:
    running, expert = load_model(in_memory(tiny_base)), in_memory(tiny_expert)
    windows = _windows(running)
    running.put(expert)
    kept = reference_of(expert, running, windows, JobControl())
    again = reference_of(expert, running, windows, JobControl(), kept_bytes=1000)
    running.put(in_memory(tiny_base))

    one = measure_text(running, windows, kept, JobControl())
    other = measure_text(running, windows, again, JobControl())

    assert isinstance(again, RunningReference)
    assert one == other


def test_without_an_expert_only_perplexity_is_told(tiny_base: Path, in_memory: Reader) -> None:
    base = load_model(in_memory(tiny_base))

    measures = measure_text(base, _windows(base), None, JobControl())

    assert set(measures) == {"perplexity"}


@pytest.mark.parametrize(("width", "stride"), [(32, 32), (32, 7), (5, 1), (64, 64)])
def test_every_token_is_predicted_once(
    tiny_base: Path, in_memory: Reader, width: int, stride: int
) -> None:
    running = load_model(in_memory(tiny_base))

    windows = _windows(running, width=width, stride=stride, max_tokens=100)

    counted = [
        int(token)
        for (_, targets), skips in zip(windows.batches, windows.skips, strict=True)
        for row, skip in zip(targets, skips, strict=True)
        for token in row[skip:]
    ]
    ids = running.text_tokenizer(TEXT.content)["input_ids"]
    assert counted == ids[1:101]
    assert windows.n == 100


def test_empty_text_measures_nothing(tiny_base: Path, in_memory: Reader) -> None:
    base = load_model(in_memory(tiny_base))
    limits = {"max_tokens": 10, "width": 8, "stride": 8, "batch_tokens": 8}

    windows = cut(Text("Nothing", "a"), base.text_tokenizer, **limits)

    assert measure_text(base, windows, None, JobControl()) == {}


def test_stop_is_taken_between_batches(tiny_base: Path, in_memory: Reader) -> None:
    base, control = load_model(in_memory(tiny_base)), JobControl()
    windows = _windows(base)
    control.cancelled.set()

    with pytest.raises(CancelledError):
        measure_text(base, windows, None, control)


def _kl(value: float, low: float | None = None, high: float | None = None) -> Measure:
    return Measure("kl", "", value, "nats/token", "x", 10, low, high, higher_is_better=False)


def test_recovered_runs_from_base_to_expert() -> None:
    found = recovered(_kl(0.5, 0.4, 0.6), _kl(2.0))

    assert found is not None
    assert (found.low, found.value, found.high) == pytest.approx((0.7, 0.75, 0.8))


def test_nothing_is_recovered_where_nothing_was_lost() -> None:
    assert recovered(_kl(0.0), _kl(0.0)) is None


def test_ids_of_the_table_are_unique() -> None:
    ids = [kind().measure("").id for kind in (*AGAINST_EXPERT, *ALONE)]

    assert len(set(ids)) == len(ids) == 5


def test_logits_are_not_changed_by_counting(tiny_base: Path, in_memory: Reader) -> None:
    base = load_model(in_memory(tiny_base))
    windows = _windows(base)
    reference = KeptReference(base, windows, JobControl())
    before = [scores.logits.clone() for scores in reference.batch(0)]

    measure_text(base, windows, reference, JobControl())

    after = [scores.logits for scores in reference.batch(0)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
