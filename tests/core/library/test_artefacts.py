from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from deltaworks.engine import run
from deltaworks.library.library import Library
from deltaworks.library.rows import ModelRow, State
from deltaworks.progress import JobControl
from deltaworks.recipes import parse_recipe

Report = dict[str, Any]


def compress(base: Path, expert: Path, output: Path, method: str = "sign", **ref: str) -> Report:
    recipe = parse_recipe(
        {
            "kind": "compress",
            "base": {"path": str(base)} | ref,
            "experts": [{"path": str(expert)}],
            "settings": [{"method": method}],
            "output": str(output),
        }
    )
    return run(recipe, JobControl()).as_json()  # type: ignore[arg-type]  # a compress recipe


@pytest.fixture
def family(tmp_path: Path, tiny_base: Path, tiny_expert: Path, library: Library) -> Path:
    """A watched folder with a base and a fine-tune of it."""
    folder = tmp_path / "models"
    shutil.copytree(tiny_base, folder / "base")
    shutil.copytree(tiny_expert, folder / "tuned")
    library.add_root(folder)
    library.scan(JobControl())
    return folder


def enter(library: Library, report: Report, **measured: Any) -> ModelRow:
    return library.enter_artefact(report["artefacts"][0], report, **measured)


def rows_of(library: Library) -> dict[str, ModelRow]:
    return {row.name: row for row in library.rows()}


def test_an_artefact_is_entered_with_its_record(
    family: Path, library: Library, tmp_path: Path
) -> None:
    report = compress(family / "base", family / "tuned", tmp_path / "store")

    row = enter(library, report, quality=0.97, quality_how="accuracy on sums")

    artefact = report["artefacts"][0]
    base = library.row_at(family / "base")
    assert base is not None
    assert (row.role, row.kind, row.state) == ("Delta", "delta", State.READY)
    assert (row.family, row.family_id, base.role) == ("base", base.id, "Base")
    assert (row.method, row.is_exact) == ("sign", False)
    assert (row.quality, row.quality_how) == (0.97, "accuracy on sums")
    assert row.quality_is_estimate is False
    assert row.size_bytes == artefact["file_bytes"]
    assert row.saved_bytes == artefact["sizes"]["original_bytes"] - artefact["file_bytes"]
    assert row.bits_per_weight == pytest.approx(artefact["sizes"]["bpp_model"])
    assert library.sizes().saved == row.saved_bytes
    stored = library.report(row.id)
    assert stored is not None
    assert stored["recipe"] == report["recipe"]
    assert [one.kind for one in library.relations()] == ["made here"]
    assert base.used_ns is not None


def test_an_artefact_stays_listed_and_shows_when_it_is_gone(
    family: Path, library: Library, tmp_path: Path
) -> None:
    row = enter(library, compress(family / "base", family / "tuned", tmp_path / "store"))
    library.scan(JobControl())
    there = library.row(row.id)
    Path(row.path).unlink()

    library.scan(JobControl())

    gone = library.row(row.id)
    assert there is not None
    assert gone is not None
    assert (there.state, gone.state) == (State.READY, State.MISSING)


def test_a_delta_that_is_found_tells_its_base_and_sizes(family: Path, library: Library) -> None:
    report = compress(family / "base", family / "tuned", family / "deltas")

    library.scan(JobControl())

    (delta,) = [row for row in library.rows() if row.role == "Delta"]
    assert (delta.family, delta.method, delta.arch) == ("base", "sign", "LlamaForCausalLM")
    assert delta.original_bytes == report["artefacts"][0]["sizes"]["original_bytes"]
    assert delta.quality == pytest.approx(1 - report["artefacts"][0]["error"])
    assert (delta.quality_is_estimate, delta.quality_how) == (True, "fidelity of the weights")
    assert delta.dtype == "BF16"


def test_a_measured_quality_outlives_a_rescan(family: Path, library: Library) -> None:
    report = compress(family / "base", family / "tuned", family / "deltas")
    library.scan(JobControl())
    enter(library, report, quality=0.9, quality_how="accuracy on sums")

    library.scan(JobControl())

    (delta,) = [row for row in library.rows() if row.role == "Delta"]
    assert (delta.quality, delta.quality_is_estimate) == (0.9, False)


def test_an_input_that_differs_from_its_recipe_is_changed(
    family: Path, library: Library, tmp_path: Path, tiny_stranger: Path
) -> None:
    enter(library, compress(family / "base", family / "tuned", tmp_path / "store"))
    shutil.copyfile(tiny_stranger / "model.safetensors", family / "tuned" / "model.safetensors")

    library.scan(JobControl())
    changed = rows_of(library)["tuned"]
    (accepted,) = library.accept_as_new([changed.id])

    assert changed.state == State.CHANGED
    assert "recipe" in changed.reason
    assert accepted.state == State.READY


def test_a_touched_file_with_the_recorded_hash_is_ready(
    family: Path, library: Library, tmp_path: Path
) -> None:
    base = library.row_at(family / "base")
    assert base is not None
    (hashed,) = library.hash_contents(JobControl(), [base.id])
    report = compress(family / "base", family / "tuned", tmp_path / "store", content=hashed.content)
    enter(library, report)
    weights = family / "base" / "model.safetensors"
    weights.write_bytes(weights.read_bytes())
    library.scan(JobControl())
    before = library.row(base.id)

    library.hash_contents(JobControl(), [base.id])

    after = library.row(base.id)
    assert before is not None
    assert after is not None
    assert (before.state, after.state) == (State.CHANGED, State.READY)


def test_the_guard_knows_a_delta_by_the_hashes_in_it(
    family: Path, library: Library, tiny_stranger: Path, control: JobControl
) -> None:
    report = compress(family / "base", family / "tuned", family / "deltas")
    delta = report["artefacts"][0]["path"]

    right = library.match(family / "base", delta, control)
    wrong = library.match(tiny_stranger, delta, control)

    assert (right.level, right.text) == ("match", "the base that this delta was made from")
    assert wrong.level == "mismatch"
    assert "which the delta needs" in wrong.offenders[0]


def test_a_delta_finds_its_base_under_another_name(
    tmp_path: Path, tiny_base: Path, tiny_expert: Path, library: Library
) -> None:
    folder = tmp_path / "d"
    compress(tiny_base, tiny_expert, folder)
    shutil.copytree(tiny_expert, folder / "another")
    shutil.copytree(tiny_base, folder / "renamed")
    library.add_root(folder)
    library.scan(JobControl())
    (before,) = [row for row in library.rows() if row.role == "Delta"]

    library.relate(JobControl())

    after = library.row(before.id)
    assert after is not None
    assert before.family_id is None
    assert after.family == "renamed"
