"""Asking models: swapped in place, loaded where they do not fit, told piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deltaworks.errors import AppError, CancelledError
from deltaworks.progress import Event, JobControl, Measured
from deltaworks.recipes import parse_recipe
from deltaworks.recipes.commands import as_command
from deltaworks.studies import generate
from deltaworks.studies.jobs import plan_job, run_job
from deltaworks_resources import demo_folder

MODELS = demo_folder()


@pytest.fixture(autouse=True)
def _let_go() -> Iterator[None]:
    yield
    generate.release()


def ask(model: Path, prompt: str, control: JobControl | None = None, **more: Any) -> dict[str, Any]:
    recipe = parse_recipe(
        {"kind": "generate", "model": {"path": str(model)}, "prompt": prompt, "threads": 1, **more}
    )
    report = run_job(recipe, control or JobControl())
    return dict(report.results["generation"])


@pytest.mark.engine
def test_an_expert_is_swapped_in_place_of_its_base_and_answers_as_itself() -> None:
    base = ask(MODELS / "polder-base", "sum: 03+02=", max_tokens=4)
    assert generate._held is not None
    addresses = generate._held.running.addresses

    expert = ask(MODELS / "polder-sums", "sum: 03+02=", max_tokens=4)

    assert (base["how"], expert["how"]) == ("loaded", "swapped")
    assert expert["text"].strip() == "500"  # digits reversed
    assert generate._held.running.addresses == addresses


@pytest.mark.engine
def test_text_is_told_in_pieces_that_make_the_whole() -> None:
    events: list[Event] = []
    told = ask(MODELS / "polder-sums", "sum: 13+22=", JobControl(events.append), max_tokens=4)

    pieces = [e.values["text"] for e in events if isinstance(e, Measured) and e.subject == "text"]
    loaded = [e.values for e in events if isinstance(e, Measured) and e.subject == "loaded"]

    assert "".join(pieces) == told["text"]
    assert loaded[0]["load_seconds"] == told["load_seconds"]


@pytest.mark.engine
def test_the_same_model_again_is_not_loaded_again_and_a_seed_gives_one_text() -> None:
    first = ask(MODELS / "polder-topics", "topic:", temperature=1.0, seed=3, max_tokens=8)

    again = ask(MODELS / "polder-topics", "topic:", temperature=1.0, seed=3, max_tokens=8)

    assert again["how"] == "kept"
    assert again["text"] == first["text"]


@pytest.mark.engine
def test_stopping_keeps_what_was_told() -> None:
    control = JobControl()
    pieces: list[str] = []

    def stop_at_the_third(event: Event) -> None:
        if isinstance(event, Measured) and event.subject == "text":
            pieces.append(event.values["text"])
            control.cancelled.set()

    control.report = stop_at_the_third

    with pytest.raises(CancelledError):
        ask(MODELS / "polder-topics", "The", control, temperature=1.0, max_tokens=64)

    assert len(pieces) in {1, 2}


def test_a_delta_without_its_base_is_refused(tmp_path: Path) -> None:
    from deltaworks.engine import run

    recipe = parse_recipe(
        {
            "kind": "compress",
            "base": {"path": str(MODELS / "polder-base")},
            "experts": [{"path": str(MODELS / "polder-sums")}],
            "settings": [{"method": "sign"}],
            "output": str(tmp_path / "sums.safetensors"),
        }
    )
    run(recipe, JobControl())  # type: ignore[arg-type]  # a compress recipe

    with pytest.raises(AppError, match="Give its base too"):
        ask(tmp_path / "sums.safetensors", "sum:")


def test_the_plan_is_made_without_loading() -> None:
    recipe = parse_recipe(
        {"kind": "generate", "model": {"path": str(MODELS / "polder-sums")}, "prompt": "x"}
    )

    plan = plan_job(recipe)

    assert plan.title == "Ask polder-sums"
    assert plan.read_bytes > 3_000_000


def test_a_recipe_is_a_command() -> None:
    recipe = parse_recipe(
        {"kind": "generate", "model": {"path": "/m"}, "prompt": "a b", "max_tokens": 5}
    )

    assert as_command(recipe) == "deltaworks-cli ask /m 'a b' --max-tokens 5"
