from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def test_a_lossless_delta_rebuilds_the_expert(
    cli: Any, tmp_path: Path, tiny_base: Path, tiny_expert: Path
) -> None:
    made = cli("compress", tiny_base, tiny_expert, "-m", "lossless", "-o", tmp_path, "--json")
    (artefact,) = made.json["artefacts"]
    rebuilt = cli("rebuild", artefact["path"], "--base", tiny_base, "-o", tmp_path / "full")

    assert (made.code, rebuilt.code) == (0, 0)
    assert (artefact["is_exact"], artefact["kind"], artefact["method"]) == (
        True,
        "delta",
        "lossless",
    )
    assert artefact["file_bytes"] == Path(artefact["path"]).stat().st_size
    original = (tiny_expert / "model.safetensors").read_bytes()
    assert (tmp_path / "full" / "model.safetensors").read_bytes() == original


def test_resuming_a_finished_job_finds_it_finished(
    cli: Any, tmp_path: Path, tiny_base: Path, tiny_expert: Path
) -> None:
    words = ("compress", tiny_base, tiny_expert, "-m", "sign", "-o", tmp_path, "--json")
    first = cli(*words).json["artefacts"][0]
    written_at = Path(first["path"]).stat().st_mtime_ns

    again, afresh = cli(*words, "--resume"), cli(*words)

    assert again.json["artefacts"][0]["sizes"] == first["sizes"]
    assert Path(first["path"]).stat().st_mtime_ns == written_at
    assert (again.code, afresh.code) == (0, 1)
    assert "exists already" in afresh.err


def test_several_experts_and_options(
    cli: Any, tmp_path: Path, tiny_base: Path, tiny_expert: Path, tiny_expert2: Path
) -> None:
    outcome = cli(
        *("compress", tiny_base, tiny_expert, tiny_expert2, "-m", "sign"),
        *("--set", "scale=group", "--set", "group_size=16", "--memory", "64MB", "-o", tmp_path),
    )

    rows = outcome.out.splitlines()
    assert outcome.code == 0
    assert rows[0].split()[:2] == ["Delta", "file"]
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    path = next(tmp_path.glob("*.safetensors"))
    delta = cli("inspect", path, "--json").json
    assert delta["delta"]["options"] == {"scale": "group", "group_size": 16}
    assert delta["report"]["method"] == "sign"
    assert "sign (scale=group, group_size=16), lossy" in cli("inspect", path).out


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("-m", "sgn"), 1, "unknown compression method 'sgn'"),
        (("-m", "dare", "--set", "drop_rate=2"), 1, "option 'drop_rate' is 2"),
        (("-m", "dare", "--set", "speed=1"), 1, "unknown option 'speed'"),
        (("-m", "dare", "--set", "drop_rate"), 1, "'drop_rate' is no setting"),
        (("-m", "dare", "--memory", "lots"), 2, "'lots' is no size"),
        (("-m", "dare", "--scope", "some"), 1, "scope"),
        ((), 2, "--method"),
    ],
)
def test_wrong_words_end_with_1_or_2_before_anything_is_written(
    cli: Any,
    tmp_path: Path,
    tiny_base: Path,
    tiny_expert: Path,
    words: Any,
    code: int,
    sentence: str,
) -> None:
    outcome = cli("compress", tiny_base, tiny_expert, *words, "-o", tmp_path / "out")

    assert outcome.code == code
    assert sentence in outcome.err
    assert not (tmp_path / "out").exists()


def test_work_that_cannot_be_done_is_one_sentence_on_stderr(
    program: Any, tmp_path: Path, tiny_base: Path
) -> None:
    outcome = program("compress", tiny_base, tmp_path / "nowhere", "-m", "sign", "-o", tmp_path)

    assert (outcome.code, outcome.out) == (1, "")
    assert "nowhere" in outcome.err
    assert outcome.err.count("\n") == 1
    assert "Traceback" not in outcome.err


def test_models_that_do_not_fit_are_refused(
    cli: Any, tmp_path: Path, tiny_base: Path, tiny_expert: Path
) -> None:
    made = cli("compress", tiny_base, tiny_expert, "-m", "sign", "-o", tmp_path, "--json")
    path = made.json["artefacts"][0]["path"]

    outcome = cli("rebuild", path, "--base", tiny_expert, "-o", tmp_path / "full")

    assert outcome.code == 1
    assert "base" in outcome.err
    assert not (tmp_path / "full").exists()


def test_a_mergekit_file_is_merged(
    cli: Any, tmp_path: Path, tiny_base: Path, tiny_expert: Path, tiny_expert2: Path
) -> None:
    config = tmp_path / "merge.yml"
    config.write_text(
        f"merge_method: task_arithmetic\nbase_model: {tiny_base}\ndtype: bfloat16\nmodels:\n"
        f"  - model: {tiny_expert}\n    parameters: {{weight: 0.5}}\n"
        f"  - model: {tiny_expert2}\n    parameters: {{weight: 0.5}}\n"
    )

    planned = cli("plan", config, "-o", tmp_path / "merged", "--json").json
    merged = cli("merge", config, tmp_path / "merged")

    assert merged.code == 0
    (row,) = cli("scan", tmp_path / "merged", "--json").json["models"]
    assert (row["role"], row["state"]) == ("Merge", "Ready")
    assert planned["outputs"][0]["path"] == str(tmp_path / "merged")
    assert planned["write_bytes"] >= row["size_bytes"]


def test_a_dry_run_shows_checks_and_the_values_of_layers(
    cli: Any, tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    config = tmp_path / "merge.yml"
    config.write_text(
        f"merge_method: task_arithmetic\nbase_model: {tiny_base}\nmodels:\n"
        f"- {{model: {tiny_expert}, parameters: {{weight: [0.25, 0.75]}}}}\n"
    )

    shown = cli("merge", config, tmp_path / "merged", "--dry-run")
    facts = cli("merge", config, tmp_path / "merged", "--dry-run", "--json").json

    assert shown.code == 0
    assert "All models are llama." in shown.out
    assert "weight 0.75" in shown.out
    assert {check["level"] for check in facts["checks"]} == {"ok"}
    last = [row for row in facts["parameters"] if row["layer"] == 1]
    assert last[0]["each"] == [{"weight": 0.75}]
    assert not (tmp_path / "merged").exists()


def test_a_recipe_of_another_kind_is_sent_elsewhere(
    cli: Any, tmp_path: Path, tiny_base: Path
) -> None:
    recipe = tmp_path / "recipe.json"
    model = {"path": str(tiny_base)}
    recipe.write_text(
        json.dumps({"kind": "rebuild", "delta": model, "output": str(tmp_path / "out")})
    )

    outcome = cli("merge", recipe, tmp_path / "merged")

    assert outcome.code == 1
    assert "kind 'rebuild'" in outcome.err


def large_model(folder: Path, seed: int) -> Path:
    """A model of many medium matrices, so that a job on it can be stopped in its middle."""
    folder.mkdir()
    shape = (768, 768)
    n_bytes = 4 * shape[0] * shape[1]
    names = [f"model.layers.{number}.mlp.up_proj.weight" for number in range(48)]
    header = {
        name: {"dtype": "F32", "shape": shape, "data_offsets": [at * n_bytes, (at + 1) * n_bytes]}
        for at, name in enumerate(names)
    }
    raw = json.dumps(header).encode()
    rng = np.random.default_rng(seed)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for _ in names:
            file.write(rng.standard_normal(shape, dtype=np.float32).tobytes())
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


def test_ctrl_c_ends_with_130_and_leaves_nothing(tmp_path: Path, home: Path) -> None:
    base, expert = large_model(tmp_path / "base", 1), large_model(tmp_path / "expert", 2)
    out = tmp_path / "out"
    code = "from deltaworks.cli.main import main; main()"
    words = ["compress", base, expert, "-m", "low-rank", "-o", out, "--threads", 1]
    arguments = [sys.executable, "-c", code, *(str(word) for word in words)]

    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not any(out.rglob("*")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert err == "Cancelled; nothing unfinished was left behind.\n"
    assert not any(path.is_file() for path in tmp_path.rglob("*partial*"))
    assert not any(out.rglob("*"))
