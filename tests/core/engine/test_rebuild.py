from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine import run
from deltaworks.errors import FileError, MismatchError
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from tests.core.engine.conftest import MakeCompress, MakeRebuild

LOSSY = [
    "sign",
    "delta-dct",
    "dare",
    "magnitude",
    {"method": "low-rank", "options": {"rank": 4}},
]


@pytest.fixture(params=["one file", "three shards"])
def expert(request: pytest.FixtureRequest, tiny_expert: Path, tiny_expert2: Path) -> Path:
    return tiny_expert if request.param == "one file" else tiny_expert2


def test_a_lossless_delta_gives_every_file_back_byte_for_byte(
    expert: Path, compressing: MakeCompress, rebuilding: MakeRebuild, tmp_path: Path
) -> None:
    delta = run(compressing(["lossless"], experts=[expert]), JobControl()).artefacts[0]

    report = run(rebuilding(delta.path), JobControl())

    rebuilt = tmp_path / "rebuilt"
    assert {path.name for path in rebuilt.iterdir()} == {path.name for path in expert.iterdir()}
    for path in expert.iterdir():
        assert (rebuilt / path.name).read_bytes() == path.read_bytes(), path.name
    total = sum(path.stat().st_size for path in expert.iterdir())
    assert report.artefacts[0].file_bytes == total


@pytest.mark.parametrize("setting", LOSSY, ids=str)
def test_a_lossy_delta_is_rebuilt_as_it_reads(
    setting: Any,
    expert: Path,
    compressing: MakeCompress,
    rebuilding: MakeRebuild,
    tiny_base: Path,
    tmp_path: Path,
) -> None:
    delta = run(compressing([setting], experts=[expert]), JobControl()).artefacts[0]

    run(rebuilding(delta.path), JobControl())

    rebuilt = tmp_path / "rebuilt"
    assert {path.name for path in rebuilt.iterdir()} == {path.name for path in expert.iterdir()}
    with (
        open_checkpoint(rebuilt) as whole,
        open_checkpoint(delta.path, base=tiny_base) as packed,
        open_checkpoint(expert) as original,
    ):
        assert whole.names == packed.names == original.names
        for name in whole.names:
            assert (whole.read_words(name) == packed.read_words(name)).all()
        for path in original.weight_files:
            assert (rebuilt / path.name).stat().st_size == path.stat().st_size


def test_a_rebuilt_model_loads_in_transformers(
    compressing: MakeCompress, rebuilding: MakeRebuild, tiny_base: Path, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    delta = run(compressing(["sign"]), JobControl()).artefacts[0]
    run(rebuilding(delta.path), JobControl())

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "rebuilt")

    state = model.state_dict()
    with open_checkpoint(delta.path, base=tiny_base) as packed:
        assert all(torch.equal(state[name], packed.read(name)) for name in packed.names)


def test_the_base_is_found_by_the_deltas_own_recipe(
    compressing: MakeCompress, rebuilding: MakeRebuild, tmp_path: Path
) -> None:
    delta = run(compressing(["lossless"]), JobControl()).artefacts[0]

    run(rebuilding(delta.path, base=None), JobControl())

    assert (tmp_path / "rebuilt" / "model.safetensors").exists()


def test_another_base_is_refused_and_nothing_is_left(
    compressing: MakeCompress, rebuilding: MakeRebuild, tiny_stranger: Path, tmp_path: Path
) -> None:
    delta = run(compressing(["lossless"]), JobControl()).artefacts[0]

    with pytest.raises(MismatchError, match="Choose the base that the delta was made from"):
        run(rebuilding(delta.path, base=tiny_stranger), JobControl())

    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_full_model_is_no_delta(rebuilding: MakeRebuild, tiny_expert: Path) -> None:
    with pytest.raises(FileError, match="is no delta file"):
        run(rebuilding(tiny_expert), JobControl())


def test_a_damaged_delta_gives_no_model(
    compressing: MakeCompress, rebuilding: MakeRebuild, tmp_path: Path
) -> None:
    delta = Path(run(compressing(["lossless"]), JobControl()).artefacts[0].path)
    data = bytearray(delta.read_bytes())
    data[-40] ^= 0xFF
    delta.write_bytes(data)

    with pytest.raises(FileError):
        run(rebuilding(delta), JobControl())

    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
