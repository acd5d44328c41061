from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deltaworks.errors import FileError, OptionError
from deltaworks.progress import Event, Finished, JobControl, Measured
from deltaworks.recipes import dump_recipe, parse_recipe
from deltaworks.recipes.schema import EvaluateRecipe
from deltaworks.studies.jobs import plan_job, run_job

if TYPE_CHECKING:
    from tests.core.studies.conftest import MakeSweep

_ALONE = """
import json, sys
from deltaworks.recipes import parse_recipe
from deltaworks.studies.jobs import plan_job
import deltaworks.studies.serve, deltaworks.studies.front
titles = [plan_job(parse_recipe(data)).title for data in json.loads(sys.argv[1])]
heavy = ("torch", "transformers", "matplotlib")
print(json.dumps([titles, [name for name in heavy if name in sys.modules]]))
"""


def evaluation(model: Path, **more: Any) -> EvaluateRecipe:
    data: dict[str, Any] = {"kind": "evaluate", "model": {"path": str(model)}, **more}
    data |= {name: {"path": str(more[name])} for name in ("base", "reference") if name in more}
    recipe = parse_recipe(data)
    assert isinstance(recipe, EvaluateRecipe)
    return recipe


def test_every_kind_is_planned_without_torch(
    sweeping: MakeSweep, tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    compress = {
        "kind": "compress",
        "base": {"path": str(tiny_base)},
        "experts": [{"path": str(tiny_expert)}],
        "settings": [{"method": "lossless"}],
        "output": str(tmp_path / "made"),
    }
    made = run_job(parse_recipe(compress), JobControl()).artefacts[0]
    merge = {
        "kind": "merge",
        "experts": [{"model": {"path": str(tiny_expert)}}],
        "setting": {"method": "linear"},
        "output": str(tmp_path / "merged"),
    }
    rebuild = {"kind": "rebuild", "delta": {"path": made.path}, "output": str(tmp_path / "again")}
    evaluate = evaluation(tiny_expert, base=tiny_base, reference=tiny_expert)
    recipes = [
        {**compress, "output": str(tmp_path / "more")},
        merge,
        rebuild,
        dump_recipe(sweeping()),
        dump_recipe(evaluate),
    ]

    done = subprocess.run(
        [sys.executable, "-c", _ALONE, json.dumps(recipes)],
        capture_output=True,
        text=True,
        check=True,
    )

    titles, loaded = json.loads(done.stdout)
    assert titles == [
        "Compress 1 expert with Lossless",
        "Merge 1 expert with Linear",
        "Rebuild expert--lossless",
        "Sweep of 6 trials",
        "Evaluate expert",
    ]
    assert loaded == []


def test_weights_are_compared_when_there_is_nothing_to_measure_on(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    recipe = evaluation(tiny_base, base=tiny_base, reference=tiny_expert)

    report = run_job(recipe, JobControl(report=events.append))

    found = report.results["evaluation"]
    assert found["measures"]["fidelity"]["value"] == pytest.approx(0.0)
    assert found["quality"] is None
    assert isinstance(events[-1], Finished)
    assert any(isinstance(event, Measured) for event in events)


@pytest.mark.engine
def test_a_model_is_measured_against_its_expert(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("The sum of 12 and 30 is 42. " * 12)
    recipe = evaluation(
        tiny_expert,
        base=tiny_base,
        reference=tiny_expert,
        evaluation=str(tmp_path / "text.txt"),
    )

    found = run_job(recipe, JobControl()).results["evaluation"]

    assert found["quality"]["value"] == pytest.approx(1.0)
    assert found["measures"]["fidelity"]["value"] == 1.0
    assert found["measures"]["kl"]["value"] == pytest.approx(0.0, abs=1e-9)


def test_only_what_has_a_journal_can_be_resumed(tiny_expert: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="a recipe of kind 'evaluate' cannot be resumed"):
        run_job(evaluation(tiny_expert), JobControl(), resume=True)

    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_of_nothing_on_nothing_is_refused(tiny_expert: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="nothing to measure on"):
        plan_job(evaluation(tiny_expert))
    with pytest.raises(FileError, match="is not there"):
        plan_job(evaluation(tiny_expert, evaluation=str(tmp_path / "gone")))
