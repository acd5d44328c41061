"""The harness runs at its smallest size and counts what it says it counts; no speed is held to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUN = Path(__file__).parents[2] / "benchmarks" / "run.py"


def run(folder: Path, *subjects: str) -> dict[str, Any]:
    """Give what a run of some subjects wrote."""
    out = folder / "results.json"
    chosen = [word for subject in subjects for word in ("--only", subject)]
    environment = {name: value for name, value in os.environ.items() if name != "MERGEKIT_PYTHON"}
    ended = subprocess.run(
        [
            *(sys.executable, str(RUN), "--size", "tiny", "--pairs", "1", "--plain", *chosen),
            *("--cache", str(folder / "cache"), "--json", str(out)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(out.read_text())["subjects"]
    return found


def test_scans_list_every_model_of_the_benchmark(tmp_path: Path) -> None:
    scans = run(tmp_path, "library")["library"]

    assert [scan["note"] for scan in scans] == ["50 models listed"] * 2
    assert all(scan["runs"][0]["wall"] > 0 for scan in scans)


def test_an_unknown_subject_is_refused() -> None:
    ended = subprocess.run(
        [sys.executable, str(RUN), "--only", "coffee"], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 2
    assert "coffee" in ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_subject_runs_and_nothing_is_left_in_the_cache(tmp_path: Path) -> None:
    found = run(tmp_path, "merge", "compress", "rebuild", "start")

    notes = {(one["case"], one["contestant"]): one["note"] for one in found["merge"]}
    for method in ("linear", "slerp", "task_arithmetic", "ties"):
        note = notes[f"merge {method}", "plain torch script"]
        assert note.startswith("ours: identical bits"), (method, note)
    exact = [one for one in found["rebuild"] if one["case"] == "rebuild lossless"]
    assert all(one["note"].startswith("expert: identical bits") for one in exact)
    assert all(one["runs"][0]["cpu"] > 0 for results in found.values() for one in results)
    left = sorted(path.name for path in (tmp_path / "cache").iterdir() if path.is_dir())
    assert left == ["family-tiny-1"]
