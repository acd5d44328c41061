from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deltaworks.library.demo import BASE, EXPERTS
from deltaworks.studies.defaults import default_settings, demo_recipe
from deltaworks_resources import demo_folder

has_demo = (demo_folder() / BASE).is_dir()


def test_a_sweep_prints_its_table_and_saves_its_plot(
    cli: Any, tmp_path: Path, tiny_base: Path, tiny_expert: Path
) -> None:
    recipe = tmp_path / "sweep.json"
    recipe.write_text(
        json.dumps(
            {
                "kind": "sweep",
                "base": {"path": str(tiny_base)},
                "experts": [{"path": str(tiny_expert)}],
                "settings": [
                    {"method": "sign"},
                    {"method": "lossless"},
                    {"method": "low-rank", "options": {"bits": 0.5}},
                ],
                "output": str(tmp_path / "out"),
            }
        )
    )

    outcome = cli("sweep", recipe)

    lines = outcome.out.splitlines()
    assert outcome.code == 0
    assert [line.split()[0] for line in lines[1:4]] == ["1", "2", "3"]
    assert "Recommended: " in outcome.out
    assert "by weights, an estimate" in outcome.out
    plot = tmp_path / "out" / "tradeoff.png"
    assert lines[-1] == f"Plot: {plot}"
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_evaluate_by_weights_needs_no_data(
    cli: Any, tmp_path: Path, tiny_base: Path, tiny_expert: Path
) -> None:
    words = ("evaluate", tiny_expert, "--base", tiny_base, "--reference", tiny_expert)

    outcome = cli(*words, "--json")

    measures = outcome.json["results"]["evaluation"]["measures"]
    assert measures["fidelity"]["value"] == 1.0
    assert measures["fidelity"]["is_estimate"] is True


def test_evaluate_without_anything_to_measure_on_is_refused(cli: Any, tiny_base: Path) -> None:
    outcome = cli("evaluate", tiny_base)

    assert outcome.code == 1
    assert "nothing to measure on" in outcome.err


def test_evaluate_takes_one_set(cli: Any, tiny_base: Path) -> None:
    assert cli("evaluate", tiny_base, "--suite", "demo", "--data", tiny_base).code == 1
    assert "known: demo" in cli("evaluate", tiny_base, "--suite", "glue").err


def test_the_default_sweep_has_many_trials_of_many_methods() -> None:
    settings = default_settings()

    assert len(settings) * len(EXPERTS) >= 12
    assert len({setting.method for setting in settings}) >= 4
    assert len({setting.model_dump_json() for setting in settings}) == len(settings)


def test_fewer_values_keep_the_ends() -> None:
    every = [one.options for one in default_settings(["dare"], most_values=99)]
    two = [one.options for one in default_settings(["dare"], most_values=2)]

    assert two == [every[0], every[-1]]
    assert len(every) > 2


def test_the_demos_recipe_says_what_it_compresses(tmp_path: Path) -> None:
    recipe = demo_recipe(
        base=tmp_path / "b", experts=[tmp_path / "e"], evaluation=tmp_path / "v", output=tmp_path
    )

    assert (recipe.base.name, [expert.name for expert in recipe.experts]) == ("b", ["e"])
    assert recipe.settings == tuple(default_settings())
    assert recipe.keep == "front"


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not has_demo, reason="the demo models are not bundled in this tree")
def test_the_demo_runs_from_end_to_end(program: Any, tmp_path: Path) -> None:
    outcome = program("demo", "--out", tmp_path / "demo", "--json")

    assert outcome.code == 0
    sweep = outcome.json["results"]["sweep"]
    done = [trial for trial in sweep["trials"] if trial["state"] == "done"]
    assert len(done) == len(sweep["trials"]) >= 12
    best = [trial for trial in done if trial["recommended"]]
    assert len(best) == len({trial["expert"] for trial in done}) == 2
    for trial in best:
        assert trial["quality"] >= 0.98
        assert trial["file_bytes"] < trial["original_bytes"] / 4
        assert Path(trial["artefact"]).stat().st_size == trial["file_bytes"]
    assert Path(outcome.json["plot"]).read_bytes().startswith(b"\x89PNG")
    assert not list((tmp_path / "demo").rglob("*partial*"))
