from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def zoo(tmp_path: Path, tiny_base: Path, tiny_expert: Path, tiny_stranger: Path) -> Path:
    folder = tmp_path / "zoo"
    for name, source in (
        ("base", tiny_base),
        ("tuned", tiny_expert),
        ("tuned-copy", tiny_expert),
        ("stranger", tiny_stranger),
    ):
        shutil.copytree(source, folder / name)
    (folder / "cut").mkdir()
    whole = (tiny_base / "model.safetensors").read_bytes()
    (folder / "cut" / "model.safetensors").write_bytes(whole[:5000])
    return folder


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from deltaworks.cli.main import app\n"
        "try:\n    app(['--help'])\n"
        "except SystemExit as end:\n    code = end.code\n"
        "heavy = {'torch', 'transformers', 'matplotlib', 'numpy', 'rich'} & set(sys.modules)\n"
        "print(code, heavy)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "0 set()"
    for command in ("scan", "inspect", "compare", "verify", "methods", "compress", "rebuild"):
        assert f"  {command} " in done.stdout
    for command in ("merge", "evaluate", "sweep", "run", "plan", "demo"):
        assert f"  {command} " in done.stdout


def test_the_version_is_one_line(cli: Any) -> None:
    assert cli("--version").out == "Deltaworks 0.1.0\n"


def test_scan_lists_roles_families_and_states(cli: Any, zoo: Path) -> None:
    outcome = cli("scan", zoo, "--duplicates", "--json")

    models = {model["name"]: model for model in outcome.json["models"]}
    assert outcome.code == 0
    assert {name: (one["role"], one["family"], one["state"]) for name, one in models.items()} == {
        "base": ("Base", "base", "Ready"),
        "tuned": ("Expert", "base", "Ready"),
        "tuned-copy": ("Expert", "base", "Duplicate"),
        "stranger": ("Unknown", "", "Ready"),
        "cut": ("Unknown", "", "Unreadable"),
    }
    assert outcome.json["totals"]["models"] == 5
    assert set(models["base"]) >= {
        "path",
        "kind",
        "n_parameters",
        "dtype",
        "size_bytes",
        "shared_bytes",
        "saved_bytes",
        "reason",
        "files",
    }


def test_scan_prints_a_table_that_a_pipe_gets_whole(cli: Any, zoo: Path) -> None:
    lines = cli("scan", zoo).out.splitlines()

    assert lines[0].split() == [
        *("Name", "Role", "Family", "Parameters", "Type", "On", "disk", "State"),
        *("Location", "Note"),
    ]
    assert any(str(zoo / "tuned-copy") in line for line in lines)
    assert lines[-1].startswith("5 models · ")
    assert all(line == line.rstrip() for line in lines)


def test_scan_writes_nothing_into_the_home(cli: Any, zoo: Path, home: Path) -> None:
    before = sorted(zoo.rglob("*"))

    cli("scan", zoo)

    assert list(home.iterdir()) == []
    assert sorted(zoo.rglob("*")) == before


def test_scan_of_nothing_is_one_sentence_and_code_1(cli: Any, tmp_path: Path) -> None:
    outcome = cli("scan", tmp_path / "nowhere")

    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == f"{tmp_path / 'nowhere'}: there is no such folder. Check the path.\n"


def test_inspect_shows_tensors_with_roles(cli: Any, tiny_base: Path) -> None:
    facts = cli("inspect", tiny_base, "--json").json

    tensors = {tensor["name"]: tensor for tensor in facts["tensors"]}
    assert tensors["model.layers.1.mlp.down_proj.weight"] == {
        "name": "model.layers.1.mlp.down_proj.weight",
        "shape": [32, 48],
        "dtype": "BF16",
        "bytes": 3072,
        "role": "linear",
        "block": 1,
    }
    assert tensors["lm_head.weight"]["role"] == "head"
    assert (facts["kind"], facts["architecture"]) == ("folder", "LlamaForCausalLM")
    assert facts["parameters"] == sum(tensor["bytes"] // 2 for tensor in facts["tensors"])
    assert "32 × 48" in cli("inspect", tiny_base).out


def test_inspect_of_a_damaged_file_says_what_is_wrong(cli: Any, zoo: Path) -> None:
    outcome = cli("inspect", zoo / "cut")

    assert outcome.code == 1
    assert outcome.err.startswith("cut/model.safetensors: ")
    assert outcome.err.count("\n") == 1


def test_compare_tells_relatives_from_strangers(
    cli: Any, tiny_base: Path, tiny_expert2: Path, tiny_stranger: Path
) -> None:
    related = cli("compare", tiny_base, tiny_expert2, "--json").json
    unrelated = cli("compare", tiny_base, tiny_stranger, "--json").json

    assert (related["verdict"]["level"], unrelated["verdict"]["level"]) == ("match", "doubtful")
    distances = {one["name"]: one["distance"] for one in related["tensors"]}
    assert distances["lm_head.weight"] == 0.0
    assert distances["model.layers.0.mlp.up_proj.weight"] == pytest.approx(0.2, abs=0.02)
    assert related["identical"] == 7
    assert list(distances.values()) == sorted(distances.values(), reverse=True)
    assert related["only_in_a"] == related["only_in_b"] == related["shapes_differ"] == []


def test_compare_lists_as_many_tensors_as_asked(
    cli: Any, tiny_base: Path, tiny_expert: Path
) -> None:
    lines = cli("compare", tiny_base, tiny_expert, "--top", 2).out.splitlines()

    assert lines[0].startswith("Match: 100 % of tensors fit, distance 0.2")
    assert len(lines) == 2 + 1 + 2


def test_verify_ends_with_1_when_anything_is_wrong(cli: Any, zoo: Path) -> None:
    sound = cli("verify", zoo / "base", zoo / "tuned")
    faulty = cli("verify", zoo / "base", zoo / "cut", "--json")

    assert (sound.code, faulty.code) == (0, 1)
    assert sound.out.splitlines()[0] == f"{zoo / 'base'}: sound"
    assert [bool(one["faults"]) for one in faulty.json["results"]] == [False, True]
    assert faulty.err == f"{zoo / 'cut'}: 1 of 2 did not pass.\n"


def test_methods_are_listed_with_their_options(cli: Any) -> None:
    methods = {method["id"]: method for method in cli("methods", "--json").json}

    assert {"sign", "dare", "lossless", "ties", "slerp"} <= set(methods)
    assert methods["dare"]["options"]["properties"]["drop_rate"]["exclusiveMaximum"] == 1.0
    assert methods["dare"]["needs"]["base"] is True
    assert "drop_rate=0.9" in cli("methods").out
