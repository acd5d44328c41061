from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def models(tmp_path: Path, tiny_base: Path, tiny_stranger: Path) -> tuple[Path, Path]:
    """Two models of one size: what is taken is then the whole matrix."""
    source = tmp_path / "source"
    shutil.copytree(tiny_stranger, source)
    return source, tiny_base


def texts(path: Path, first: int) -> Path:
    lines = [json.dumps({"prompt": f"{n}+1=", "response": f"{n + 1};"}) for n in range(first, 9)]
    path.write_text("\n".join(lines))
    return path


def test_a_transfer_tells_every_arm_and_promises_nothing(
    cli: Any, models: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "tried"
    sets = [texts(tmp_path / f"{name}.jsonl", n) for n, name in enumerate(("a", "b", "c"))]
    words = ["--seed-data", sets[0], "--training", sets[1], "--held-out", sets[2], "-o", out]
    words += ["--steps", "2", "--batch", "2", "--accumulate", "1", "--set", "rank=2"]

    said = cli("transfer", *models, *words, "--arms", "pissa", "--no-merged").out

    assert "Seeking " in said
    assert "PiSSA " in said
    assert "Gaussian" not in said
    assert "is all that this shows" in said
    names = {path.name for path in out.iterdir()}
    plots = {"losses.png", "layers.png", "window.png", "cosines.png"}
    assert names == plots | {"adapters", "transfer.json"}
    record = json.loads((out / "transfer.json").read_text())
    assert [one["share"] for one in record["matrices"]] == pytest.approx([1.0] * 14)


def test_similarity_comes_before_anything_is_trained(
    cli: Any, models: tuple[Path, Path], tmp_path: Path
) -> None:
    held = texts(tmp_path / "held.jsonl", 0)
    words = ["--held-out", held, "--similarity-only", "-o", tmp_path / "alike"]

    found = cli("transfer", *models, *words, "--json").json

    assert "arms" not in found["results"]["transfer"]
    assert len(found["results"]["transfer"]["similarity"]["kinds"]) == 4
    assert (tmp_path / "alike" / "similarity.png").exists()
    assert found["plots"] == [str(tmp_path / "alike" / "similarity.png")]


def test_arms_and_none_cannot_be_had_at_once(
    cli: Any, models: tuple[Path, Path], tmp_path: Path
) -> None:
    found = cli("transfer", *models, "--arms", "none,pissa", "-o", tmp_path / "x")

    assert found.code == 1
    assert "names arms and none" in found.err
