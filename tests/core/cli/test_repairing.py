from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deltaworks.cli.main import app

RUNNER = CliRunner()


@pytest.fixture
def safety(tmp_path: Path) -> Path:
    path = tmp_path / "safety.jsonl"
    pairs = [{"prompt": f"how to {word}?", "response": "I will not."} for word in "abcd"]
    path.write_text("\n".join(map(json.dumps, pairs)) + "\n")
    return path


def test_a_fine_tune_is_repaired(
    tiny_base: Path, tiny_expert: Path, safety: Path, tmp_path: Path
) -> None:
    out = tmp_path / "repaired"
    words = ["repair", str(tiny_base), str(tiny_expert), "-m", "safe-delta", "-o", str(out)]

    ended = RUNNER.invoke(app, [*words, "--set", "rho=0.4", "--safety", str(safety)])

    assert ended.exit_code == 0, ended.output
    assert "Layers repaired" in ended.output
    assert "Nothing here says that the model is safe" in ended.output
    assert "I will not" not in ended.output
    assert (out / "model.safetensors").is_file()
    recipe = json.loads((out / "deltaworks_recipe.json").read_text())
    assert recipe["setting"] == {"method": "safe-delta", "options": {"rho": 0.4}}


def test_budgets_give_a_table_and_plots(
    tiny_base: Path, tiny_expert: Path, safety: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sweep"
    words = ["repair", str(tiny_base), str(tiny_expert), "-m", "safe-delta", "-m", "interpolation"]

    ended = RUNNER.invoke(
        app,
        [*words, "--budgets", "0,0.5", "--set", "safe-delta.compensation=joint",
         "--safety", str(safety), "--target", "0.6", "-o", str(out), "--json"],
    )  # fmt: skip

    assert ended.exit_code == 0, ended.output
    data = json.loads(ended.stdout)
    trials = data["results"]["sweep"]["trials"]
    assert [(one["method"], one["settings"]) for one in trials] == [
        ("safe-delta", "rho 0"),
        ("safe-delta", "rho 0.5"),
        ("interpolation", "weight 0"),
        ("interpolation", "weight 0.5"),
    ]
    assert trials[1]["options"]["compensation"] == "joint"
    assert all(Path(plot).stat().st_size > 1000 for plot in data["plots"])
    assert [one["recommended"] for one in trials].count(True) == 1


def test_what_is_missing_is_one_sentence(tiny_base: Path, tiny_expert: Path) -> None:
    words = ["repair", str(tiny_base), str(tiny_expert), "-m", "irr", "-o", "/tmp/never"]

    ended = RUNNER.invoke(app, words)

    assert ended.exit_code == 1
    assert ended.output.strip() == (
        "method 'irr': needs an unaligned model or the pretrained base and texts of the task. "
        "Give it, or choose another."
    )


def test_a_list_that_is_none_is_refused(tiny_base: Path, tiny_expert: Path) -> None:
    words = ["repair", str(tiny_base), str(tiny_expert), "-m", "interpolation", "-o", "/tmp/never"]

    ended = RUNNER.invoke(app, [*words, "--budgets", "much"])

    assert ended.exit_code == 1
    assert "'much' is no list of numbers" in ended.output
