"""Methods at equal bits: every entry within its budget, a table, a record."""

import json
from pathlib import Path

import pytest

from deltaworks.errors import FileError
from deltaworks.progress import JobControl
from deltaworks.recipes.schema import ComparisonRecipe, ModelRef
from deltaworks.studies.comparison import RECORD, TABLE, Comparison, Entry
from deltaworks.studies.comparison_table import as_markdown
from deltaworks.studies.jobs import plan_job, run_job


def recipe_for(
    base: Path, expert: Path, output: Path, methods: tuple[str, ...]
) -> ComparisonRecipe:
    return ComparisonRecipe(
        base=ModelRef(path=str(base)),
        experts=(ModelRef(path=str(expert), name="one"),),
        methods=methods,
        bits=(4.0, 1.5),
        scope="all",
        output=str(output),
        threads=1,
    )


def test_every_method_is_run_within_its_budgets(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    methods = ("sign", "magnitude", "rdc", "lossless")
    recipe = recipe_for(tiny_base, tiny_expert, tmp_path / "out", methods)

    report = run_job(recipe, JobControl())

    found = Comparison.from_json(report.results["comparison"])
    rdc = [entry.bits for entry in found.entries if entry.method == "rdc"]
    assert all(0.9 * each < bits <= each for bits, each in zip(rdc, (4.0, 1.5), strict=True))
    assert [name for name, _ in found.left_out] == ["lossless"]
    best = found.best("one", "rdc", 4.0)
    other = found.best("one", "magnitude", 4.0)
    assert best is not None
    assert other is not None
    assert best.fidelity > other.fidelity
    assert {path.name for path in (tmp_path / "out").iterdir()} == {RECORD, TABLE}
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert Comparison.from_json(record) == found
    with pytest.raises(FileError, match="exists already"):
        plan_job(recipe)


def test_a_method_counts_with_its_best_setting_within_the_budget() -> None:
    entries = (
        Entry("one", "sign", "Sign", {}, bits=1.001, fidelity=0.6, recovered=0.8),
        Entry("one", "sign", "Sign", {"scale": "row"}, bits=1.2, fidelity=0.7, recovered=0.9),
        Entry("one", "rdc", "RDC", {}, bits=0.9, fidelity=0.5, recovered=0.95),
        Entry("one", "dare", "DARE", {}, reason="does not fit"),
    )
    found = Comparison("base", (2.0, 1.0, 0.5), entries, measured_on="Demo")

    table = as_markdown(found)

    assert "| Sign | 0.9000 | 0.8000 | - |" in table
    assert "| RDC | **0.9500** | **0.9500** | - |" in table
    assert "does not fit" in table
