from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine import calibrating as calibrating_module
from deltaworks.engine import plan, run
from deltaworks.engine.reports import Report
from deltaworks.errors import FileError, MismatchError
from deltaworks.progress import Event, JobControl, Progress
from deltaworks.recipes import as_command, dump_recipe
from deltaworks.recipes.schema import Calibration, CompressRecipe, ModelRef, Setting

MakeRecipe = Callable[..., CompressRecipe]
TEXT = "a quick brown fox jumps over the lazy dog; 12 + 30 = 42. " * 20


@pytest.fixture
def recipe(tiny_base: Path, tiny_expert: Path, tmp_path: Path, home: Path) -> MakeRecipe:
    """A compression with a text; every call writes somewhere else."""
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    count = 0

    def make(*settings: tuple[str, dict[str, Any]], **facts: Any) -> CompressRecipe:
        nonlocal count
        count += 1
        chosen: dict[str, Any] = {
            "calibration": Calibration(text=str(text), samples=8, tokens=32),
            "output": str(tmp_path / f"out-{count}"),
            "threads": 1,
            "experts": (ModelRef(path=str(tiny_expert)),),
        }
        return CompressRecipe(
            base=ModelRef(path=str(tiny_base)),
            settings=tuple(Setting(method=name, options=options) for name, options in settings),
            **{**chosen, **facts},
        )

    return make


def notes(report: Report) -> str:
    return "\n".join(report.results["notes"])


def parts_of(report: Report, place: int, base: Path) -> dict[str, bytes]:
    with (
        open_checkpoint(base) as opened,
        open_checkpoint(report.artefacts[place].path, base=opened) as delta,
    ):
        return {
            name: delta.read(name).float().numpy().tobytes()
            for name in delta.names
            if "_proj" in name
        }


def test_a_text_changes_the_codes_and_an_option_does_without(
    recipe: MakeRecipe, tiny_base: Path
) -> None:
    with_text = run(recipe(("gptq", {}), ("gptq", {"calibrated": False})), JobControl())
    without = run(recipe(("gptq", {}), calibration=Calibration()), JobControl())

    calibrated, apart = (parts_of(with_text, place, tiny_base) for place in (0, 1))
    assert calibrated != apart
    assert apart == parts_of(without, 0, tiny_base)
    assert "calibrated on 256 tokens of text.txt (new)" in notes(with_text)
    assert "calibrated on" not in notes(without)


def test_a_second_job_takes_over_what_the_first_found(
    recipe: MakeRecipe, tiny_base: Path, home: Path
) -> None:
    first = run(recipe(("gptq", {})), JobControl())
    second = run(recipe(("gptq", {}), ("deltazip", {})), JobControl())

    assert "(an earlier run's)" in notes(second)
    assert parts_of(first, 0, tiny_base) == parts_of(second, 0, tiny_base)
    assert len(list((home / "calibration").iterdir())) == 1


def test_the_plan_counts_the_pass(recipe: MakeRecipe) -> None:
    chosen = recipe(("gptq", {}))

    with_text = plan(chosen)
    without = plan(chosen.model_copy(update={"calibration": Calibration()}))

    assert with_text.items[0].stage == "inputs of layers"
    assert with_text.work_bytes > without.work_bytes
    assert with_text.peak_bytes >= without.peak_bytes
    assert any(note.startswith("Calibration: up to 8 sequences") for note in with_text.notes)


def test_progress_reaches_its_end_and_never_falls(recipe: MakeRecipe) -> None:
    seen: list[Progress] = []

    def report(event: Event) -> None:
        if isinstance(event, Progress):
            seen.append(event)

    run(recipe(("gptq", {}), ("bitdelta", {"steps": 3})), JobControl(report))

    done = [event.done for event in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1].total
    stages = " ".join(event.stage for event in seen)
    assert "inputs of layers · block 2/2" in stages
    assert "training scales · step 3/3" in stages


def test_settings_that_look_at_no_input_run_no_text(
    recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrating_module, "collect_grams", None)

    report = run(recipe(("sign", {}), ("gptq", {"calibrated": False})), JobControl())

    assert len(report.artefacts) == 2


def test_trained_scales_come_nearer_and_signs_stay(recipe: MakeRecipe, tiny_base: Path) -> None:
    report = run(
        recipe(("bitdelta", {"start": "magnitude", "steps": 40}), ("sign", {})), JobControl()
    )

    sentence = next(note for note in report.results["notes"] if "training of scales" in note)
    before, after = (float(word.rstrip(".")) for word in sentence.split() if word[0].isdigit())
    assert after < before
    with open_checkpoint(tiny_base) as base:
        for name in (name for name in base.names if "_proj" in name):
            moved = []
            for artefact in report.artefacts:
                with open_checkpoint(artefact.path, base=base) as delta:
                    moved.append((delta.read(name).float() - base.read(name).float()).sign())
            assert bool((moved[0] * moved[1] >= 0).all())


def test_a_missing_text_is_named(recipe: MakeRecipe, tmp_path: Path) -> None:
    missing = Calibration(text=str(tmp_path / "gone.txt"))

    with pytest.raises(FileError, match=r"gone\.txt"):
        plan(recipe(("gptq", {}), calibration=missing))


def test_a_model_that_cannot_run_is_named_before_anything_is_written(
    recipe: MakeRecipe, tiny_expert: Path, tmp_path: Path
) -> None:
    import shutil

    silent = tmp_path / "silent"
    shutil.copytree(tiny_expert, silent)
    (silent / "config.json").write_text("{}")

    with pytest.raises(MismatchError, match="cannot be calibrated"):
        plan(recipe(("gptq", {}), experts=(ModelRef(path=str(silent)),)))


def test_the_command_names_the_text(recipe: MakeRecipe) -> None:
    chosen = recipe(("gptq", {}))

    command = as_command(chosen)

    text = chosen.calibration.text
    assert f"--calibration {text} --samples 8 --tokens 32" in command
    assert CompressRecipe.model_validate(dump_recipe(chosen)) == chosen
