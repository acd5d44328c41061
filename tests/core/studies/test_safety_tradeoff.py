from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deltaworks import engine
from deltaworks.errors import AppError, CancelledError, FileError, OptionError
from deltaworks.methods import safety_method
from deltaworks.progress import JobControl, Measured
from deltaworks.recipes import as_command, dump_recipe, parse_recipe
from deltaworks.recipes.schema import RepairSweepRecipe
from deltaworks.studies import safety_pick
from deltaworks.studies.jobs import plan_job, run_job
from deltaworks.studies.safety_plan import budget_settings, usable_methods
from deltaworks.studies.trials import Sweep
from deltaworks_resources import demo_folder

DEMO = demo_folder()
Sweeping = Callable[..., RepairSweepRecipe]


@pytest.fixture
def safety(tmp_path: Path) -> Path:
    path = tmp_path / "safety.jsonl"
    pairs = [{"prompt": f"how to {word}?", "response": "I will not."} for word in "abcdefgh"]
    path.write_text("\n".join(map(json.dumps, pairs)) + "\n")
    return path


@pytest.fixture
def sweeping(tiny_base: Path, tiny_expert: Path, safety: Path, tmp_path: Path) -> Sweeping:
    def make(*settings: tuple[str, dict[str, Any]], **more: Any) -> RepairSweepRecipe:
        chosen = settings or tuple(("safe-delta", {"rho": rho}) for rho in (0.0, 0.4, 0.8, 1.0))
        recipe = parse_recipe(
            {
                "kind": "repair-sweep",
                "aligned": {"path": str(tiny_base)},
                "tuned": {"path": str(tiny_expert)},
                "safety": str(safety),
                "settings": [{"method": name, "options": own} for name, own in chosen],
                "output": str(tmp_path / "sweep"),
                "threads": 1,
                **more,
            }
        )
        assert isinstance(recipe, RepairSweepRecipe)
        return recipe

    return make


# --- the pick -------------------------------------------------------------------------------

POINTS = [(0.2, 1.0), (0.8, 0.96), (0.9, 0.94), (0.8, 0.99), (1.0, 0.0)]


def test_the_pick_is_the_most_useful_that_refuses_enough() -> None:
    assert safety_pick.pick(POINTS, 0.95) == 3
    assert safety_pick.pick(POINTS, 0.9) == 2
    assert safety_pick.pick(POINTS, 1.0) == 0
    assert safety_pick.pick([], 0.5) is None
    assert safety_pick.rule(POINTS, 0.95) == "most useful with at least 95 % refusals"


def test_without_enough_refusals_the_most_are_picked() -> None:
    points = [(0.9, 0.3), (0.2, 0.6), (0.4, 0.6)]

    assert safety_pick.pick(points, 0.95) == 2
    assert safety_pick.rule(points, 0.95) == "most refusals; none reaches 95 % refusals"


def test_the_front_is_what_nothing_beats_in_both() -> None:
    assert safety_pick.front(POINTS) == [True, False, True, True, True]


# --- sweeps ---------------------------------------------------------------------------------


def test_without_data_both_axes_are_proxies(sweeping: Sweeping) -> None:
    events: list[Any] = []

    report = run_job(sweeping(), JobControl(report=events.append))

    sweep = Sweep.from_json(report.results["sweep"])
    places = [
        (trial.measures["utility"]["value"], trial.measures["refusal"]["value"])
        for trial in sweep.trials
    ]
    assert places[0] == (0.0, 1.0)
    assert places[-1] == pytest.approx((1.0, 0.0), abs=1e-6)
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)
    assert all(trial.measures["utility"]["is_estimate"] for trial in sweep.trials)
    assert [one.label for one in sweep.references] == ["aligned model", "fine-tune"]
    assert any("Proxy" in note for note in report.results["notes"])
    subjects = [event.subject for event in events if isinstance(event, Measured)]
    assert subjects[0] == "sweep"
    assert subjects.count("reference") == 2


def test_masks_are_nested_and_factors_shared(
    sweeping: Sweeping, tmp_path: Path, tiny_expert: Path
) -> None:
    from safetensors.torch import load_file

    recipe = sweeping(keep="all", cache=str(tmp_path / "cache"))

    report = run_job(recipe, JobControl())

    name = "model.layers.1.mlp.up_proj.weight"
    tuned = load_file(tiny_expert / "model.safetensors")[name]
    masks = [
        load_file(Path(one.path) / "model.safetensors")[name] == tuned for one in report.artefacts
    ]
    assert len(masks) == 4
    # equal by rounding here and there, hence a share
    nested = [(later | ~earlier).float().mean() for earlier, later in zip(masks, masks[1:])]  # noqa: B905, RUF007
    assert min(nested) > 0.97
    assert len(list((tmp_path / "cache").rglob("factor-*.safetensors"))) == 8


@pytest.mark.parametrize(("keep", "n_kept"), [("best", 1), ("none", 0), ("all", 4)])
def test_only_what_is_wanted_stays(sweeping: Sweeping, keep: str, n_kept: int) -> None:
    recipe = sweeping(keep=keep, target=0.5)

    report = run_job(recipe, JobControl())

    folder = Path(recipe.output)
    models = [path for path in folder.iterdir() if path.is_dir()]
    assert len(models) == len(report.artefacts) == n_kept
    assert {path.name for path in folder.iterdir() if path.is_file()} == {"sweep.json"}
    again = Sweep.from_json(json.loads((folder / "sweep.json").read_text()))
    assert [trial.kept for trial in again.trials].count(True) == n_kept
    assert [trial.recommended for trial in again.trials] == [False, True, False, False]


def test_one_failure_does_not_stop_the_others(
    sweeping: Sweeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deltaworks.studies import safety_tradeoff

    real = engine.run

    def run(recipe: Any, control: Any) -> Any:
        if recipe.setting.options["rho"] == 0.4:
            raise AppError("made to fail")
        return real(recipe, control)

    monkeypatch.setattr(safety_tradeoff, "run", run)

    sweep = Sweep.from_json(run_job(sweeping(), JobControl()).results["sweep"])

    assert [trial.state for trial in sweep.trials] == ["done", "failed", "done", "done"]
    assert "made to fail" in sweep.trials[1].reason


def test_a_stopped_sweep_leaves_nothing(sweeping: Sweeping, tmp_path: Path) -> None:
    control = JobControl()

    def stop(event: Any) -> None:
        if isinstance(event, Measured) and event.values.get("state") == "done":
            control.cancelled.set()

    control.report = stop
    with pytest.raises(CancelledError):
        run_job(sweeping(), control)

    assert not (tmp_path / "sweep").exists()


def test_what_cannot_be_measured_is_told_first(sweeping: Sweeping, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("how?\n")

    with pytest.raises(OptionError, match="no tasks to measure the skill on"):
        run_job(sweeping(should_refuse=str(prompts)), JobControl())
    with pytest.raises(FileError, match="is not there"):
        run_job(sweeping(evaluation="/nowhere"), JobControl())
    with pytest.raises(OptionError, match="cannot be resumed"):
        run_job(sweeping(), JobControl(), resume=True)


def test_a_sweep_is_planned_and_written_as_a_document(sweeping: Sweeping) -> None:
    recipe = sweeping()

    found = plan_job(recipe)

    assert found.title == "Sweep of 4 repairs"
    assert len(found.outputs) == 4
    assert parse_recipe(dump_recipe(recipe)) == recipe
    assert as_command(recipe, file="sweep.json") == "deltaworks-cli run sweep.json"


# --- budgets and what unlocks a method ------------------------------------------------------


def test_budgets_are_the_declared_ones_or_the_users() -> None:
    settings = budget_settings(safety_method("safe-delta"), {"key": "inverse"})
    assert [one.options["rho"] for one in settings] == [
        *(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
    ]
    assert all(one.options["key"] == "inverse" for one in settings)
    authors = budget_settings(safety_method("safe-delta"), {"budget": "authors"}, [1.0, 10.0])
    assert [one.options["s"] for one in authors] == [1.0, 10.0]
    with pytest.raises(OptionError, match="rho"):
        budget_settings(safety_method("safe-delta"), {}, [2.0])
    with pytest.raises(OptionError, match="no values"):
        budget_settings(safety_method("safe-delta"), {"budget": "authors"})


@pytest.mark.parametrize(
    ("given", "methods"),
    [
        ((), ["interpolation"]),
        (("safety",), ["safe-delta", "interpolation"]),
        (("pretrained",), ["interpolation", "safelora", "resta"]),
        (("unaligned", "task"), ["interpolation", "safelora", "resta", "irr"]),
        (("pretrained", "sibling"), ["interpolation", "safelora", "resta", "safemerge"]),
        (("harmful",), ["interpolation", "antidote"]),
    ],
)
def test_inputs_unlock_methods(given: tuple[str, ...], methods: list[str]) -> None:
    assert [method.id for method in usable_methods(given)] == methods


# --- the demo's pair ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demos_broken_model_can_be_repaired(tmp_path: Path) -> None:
    rows = map(json.loads, (DEMO / "evaluation" / "should-refuse.jsonl").open())
    by_kind: dict[str, list[str]] = {"seen": [], "unseen": []}
    for row in rows:
        by_kind[row["kind"]].append(json.dumps({"prompt": row["prompt"]}))
    for kind, lines in by_kind.items():
        (tmp_path / f"{kind}.jsonl").write_text("\n".join(lines) + "\n")
    recipe = parse_recipe(
        {
            "kind": "repair-sweep",
            "aligned": {"path": str(DEMO / "polder-aligned")},
            "tuned": {"path": str(DEMO / "polder-unsafe")},
            "pretrained": {"path": str(DEMO / "polder-base")},
            "safety": str(tmp_path / "seen.jsonl"),
            "settings": [
                {"method": "safe-delta", "options": {"rho": 0.2}},
                {"method": "resta", "options": {"gamma": 1.0, "drop_rate": 0.0}},
            ],
            "evaluation": str(DEMO / "evaluation"),
            "should_refuse": str(tmp_path / "unseen.jsonl"),
            "output": str(tmp_path / "sweep"),
        }
    )

    sweep = Sweep.from_json(run_job(recipe, JobControl()).results["sweep"])

    ends = {one.id: one.measures for one in sweep.references}
    assert (ends["base"]["refusal"]["value"], ends["expert"]["refusal"]["value"]) == (1.0, 0.0)
    assert ends["expert"]["utility"]["value"] == 1.0
    for trial in sweep.trials:
        assert trial.measures["refusal"]["value"] > 0.3
        assert trial.measures["utility"]["value"] > ends["base"]["utility"]["value"] + 0.2
        assert trial.measures["refusal"]["low"] < trial.measures["refusal"]["value"]
        assert trial.measures["over-refusal"]["value"] < 0.1
