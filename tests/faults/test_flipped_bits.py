"""``verify`` finds any flipped bit in what was made here."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from deltaworks.checkpoints import verify_checkpoint
from deltaworks.engine import run
from deltaworks.progress import JobControl
from deltaworks.recipes import parse_recipe

N_SHORT, N_LONG = 40, 1500

n_flips = pytest.mark.parametrize(
    "n_times", [N_SHORT, pytest.param(N_LONG, marks=pytest.mark.slow)]
)


@pytest.fixture(scope="module")
def made(tiny_base: Path, tiny_expert: Path, tiny_expert2: Path, tmp_path_factory: Any) -> Path:
    """A merged model of several files, and delta files of three methods."""
    out: Path = tmp_path_factory.mktemp("made")
    experts = [{"path": str(tiny_expert)}, {"path": str(tiny_expert2)}]
    base = {"path": str(tiny_base)}
    jobs: list[dict[str, Any]] = [
        {
            "kind": "merge",
            "base": base,
            "experts": [{"model": one} for one in experts],
            "setting": {"method": "ties"},
            "shard_bytes": 20_000,
            "output": str(out / "model"),
        },
        {
            "kind": "compress",
            "base": base,
            "experts": experts[:1],
            "settings": [{"method": method} for method in ("sign", "lossless", "low-rank")],
            "output": str(out / "deltas"),
        },
    ]
    for job in jobs:
        run(parse_recipe(job), JobControl())  # type: ignore[arg-type]  # the engine's kinds
    return out


def flip(path: Path, dice: random.Random) -> tuple[int, int]:
    """Flip one bit in place; give the byte and its old value."""
    at = dice.randrange(path.stat().st_size)
    with path.open("r+b") as file:
        file.seek(at)
        (old,) = file.read(1)
        file.seek(at)
        file.write(bytes([old ^ (1 << dice.randrange(8))]))
    return at, old


def put_back(path: Path, at: int, old: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([old]))


@n_flips
def test_any_flipped_bit_of_a_merged_model_is_found(
    made: Path, n_times: int, dice: random.Random, counts: Counter[str]
) -> None:
    folder = made / "model"
    assert verify_checkpoint(folder, JobControl()) == []
    files = sorted(path for path in folder.iterdir() if path.is_file())
    assert len([path for path in files if path.suffix == ".safetensors"]) == 3

    for _ in range(n_times):
        path = dice.choice(files)
        at, old = flip(path, dice)
        assert verify_checkpoint(folder, JobControl()), f"byte {at} of {path.name}"
        put_back(path, at, old)

    assert verify_checkpoint(folder, JobControl()) == []
    counts["bits flipped in merged models, all found"] += n_times


@n_flips
def test_any_flipped_bit_of_a_delta_file_is_found(
    made: Path, tiny_base: Path, n_times: int, dice: random.Random, counts: Counter[str]
) -> None:
    files = sorted((made / "deltas").iterdir())
    assert len(files) == 3
    for path in files:
        assert verify_checkpoint(path, JobControl(), base=tiny_base) == []

    for number in range(n_times):
        path = dice.choice(files)
        at, old = flip(path, dice)
        base = tiny_base if number % 5 == 0 else None
        assert verify_checkpoint(path, JobControl(), base=base), f"byte {at} of {path.name}"
        put_back(path, at, old)

    counts["bits flipped in delta files, all found"] += n_times


def test_what_was_changed_is_named(made: Path) -> None:
    folder = made / "model"
    config = folder / "config.json"
    before = config.read_text()
    config.write_text(json.dumps({**json.loads(before), "vocab_size": 7}))

    (fault,) = verify_checkpoint(folder, JobControl())

    assert "model/config.json: is not as it was written" in fault
    assert "If you changed it on purpose, remove deltaworks_hashes.json" in fault
    config.write_text(before)


def test_the_hashes_are_the_same_however_the_model_was_made(made: Path, tmp_path: Path) -> None:
    hashes = made / "model" / "deltaworks_hashes.json"
    recipe = json.loads((made / "model" / "deltaworks_recipe.json").read_text())

    run(
        parse_recipe({**recipe, "threads": 3, "output": str(tmp_path / "model")}),  # type: ignore[arg-type]
        JobControl(),
    )

    assert (tmp_path / "model" / hashes.name).read_bytes() == hashes.read_bytes()


def test_hashes_do_not_travel_to_other_folders(made: Path, tiny_base: Path, tmp_path: Path) -> None:
    """A model that was merged here is an input like any other."""
    again = {
        "kind": "merge",
        "experts": [{"model": {"path": str(made / "model")}}, {"model": {"path": str(tiny_base)}}],
        "setting": {"method": "linear"},
        "output": str(tmp_path / "again"),
    }

    run(parse_recipe(again), JobControl())  # type: ignore[arg-type]  # the engine's kinds

    assert verify_checkpoint(tmp_path / "again", JobControl()) == []
