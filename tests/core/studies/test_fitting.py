"""Targets: budgets are kept, used up, and refused in one sentence when they cannot be."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from deltaworks.engine.reports import Report
from deltaworks.errors import MismatchError, OptionError
from deltaworks.progress import JobControl
from deltaworks.recipes.schema import CompressRecipe, ModelRef, Setting, Target
from deltaworks.studies.jobs import plan_job, run_job


def recipe_for(
    base: Path,
    experts: list[Path],
    output: Path,
    target: Target,
    method: str = "rdc",
    options: dict[str, Any] | None = None,
) -> CompressRecipe:
    return CompressRecipe(
        base=ModelRef(path=str(base)),
        experts=tuple(ModelRef(path=str(path)) for path in experts),
        settings=(Setting(method=method, options=options or {}),),
        target=target,
        scope="all",
        output=str(output),
        threads=1,
    )


def fit_of(report: Report) -> dict[str, Any]:
    found: dict[str, Any] = report.results["fit"]
    return found


@pytest.mark.parametrize("bits", [pytest.param(2.0, marks=pytest.mark.slow), 0.8])
def test_bits_are_met_and_never_exceeded(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path, bits: float
) -> None:
    path = tmp_path / "one.safetensors"
    target = Target(kind="bits", value=bits)

    report = run_job(recipe_for(tiny_base, [tiny_expert], path, target), JobControl())

    sizes = report.artefacts[0].sizes
    assert sizes is not None
    assert 0.97 * bits <= sizes.bpp_linear <= bits
    assert path.stat().st_size == report.artefacts[0].file_bytes
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.slow
def test_a_total_is_spread_over_experts_by_one_step(
    tiny_base: Path, tiny_expert: Path, tiny_expert2: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "family"
    target = Target(kind="size", value=60_000)

    report = run_job(
        recipe_for(tiny_base, [tiny_expert, tiny_expert2], folder, target), JobControl()
    )

    total = sum(path.stat().st_size for path in folder.iterdir())
    assert 0.97 * 60_000 <= total <= 60_000
    assert len({artefact.options["step"] for artefact in report.artefacts}) == 1


@pytest.mark.slow
def test_the_file_is_the_one_that_its_value_gives(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    path, again = tmp_path / "a" / "one.safetensors", tmp_path / "b" / "one.safetensors"
    target = Target(kind="bits", value=1.0)
    recipe = recipe_for(tiny_base, [tiny_expert], path, target)

    value = fit_of(run_job(recipe, JobControl()))["value"]
    setting = Setting(method="rdc", options={"step": value})
    plain = {"settings": (setting,), "target": None, "output": str(again)}
    run_job(recipe.model_copy(update=plain), JobControl())

    assert path.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("method", ["low-rank", "dare", "magnitude", "delta-come", "impart"])
def test_other_methods_with_one_option_for_size_meet_bits_too(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path, method: str
) -> None:
    target = Target(kind="bits", value=4.0)
    recipe = recipe_for(tiny_base, [tiny_expert], tmp_path / "out", target, method)

    report = run_job(recipe, JobControl())

    assert 2.0 < fit_of(report)["bits"] <= 4.0


def test_a_budget_below_what_is_stored_exactly_is_refused(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    target = Target(kind="size", value=2_000)

    with pytest.raises(MismatchError, match=r"cannot be reached: .* stored exactly"):
        run_job(recipe_for(tiny_base, [tiny_expert], tmp_path / "out", target), JobControl())
    assert not list(tmp_path.iterdir())


def test_a_method_without_an_option_for_size_is_refused(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    target = Target(kind="bits", value=1.0)
    recipe = recipe_for(tiny_base, [tiny_expert], tmp_path / "out", target, "sign")

    for job in (plan_job, lambda each: run_job(each, JobControl())):
        with pytest.raises(OptionError, match="no option that settles its size"):
            job(recipe)


def test_option_and_target_together_are_refused(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    target = Target(kind="bits", value=1.0)
    recipe = recipe_for(tiny_base, [tiny_expert], tmp_path / "out", target, options={"step": 0.1})

    with pytest.raises(OptionError, match="step is what the search"):
        plan_job(recipe)


def test_the_plan_tells_of_the_search_and_keeps_to_the_budget(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    target = Target(kind="size", value=30_000)

    plan = plan_job(recipe_for(tiny_base, [tiny_expert], tmp_path / "out", target))

    assert plan.outputs[0].bytes_high == 30_000
    assert any("Searches step" in note for note in plan.notes)
    assert dataclasses.is_dataclass(plan)
