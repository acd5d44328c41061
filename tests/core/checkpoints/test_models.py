from __future__ import annotations

import json
import mmap
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from blake3 import blake3
from safetensors.torch import load_file, save_file

from deltaworks.checkpoints import (
    IncompleteError,
    UnsafeFormatError,
    content_hash,
    open_checkpoint,
    tensor_hash,
)
from deltaworks.checkpoints.folder import ModelCheckpoint
from deltaworks.errors import CancelledError, FileError
from deltaworks.numerics.words import NUMPY_DTYPE, torch_dtype
from deltaworks.progress import JobControl, Progress

SIDE = {"README.md", "config.json", "generation_config.json", "tokenizer.json"}


def all_tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {
        name: value
        for file in sorted(folder.glob("*.safetensors"))
        for name, value in load_file(file).items()
    }


@pytest.mark.parametrize(
    ("opened", "kind"),
    [
        ("", "folder"),
        ("model.safetensors.index.json", "folder"),
        ("model-00002-of-00003.safetensors", "folder"),
    ],
)
def test_shards_open_as_one_model(tiny_expert2: Path, opened: str, kind: str) -> None:
    truth = all_tensors(tiny_expert2)

    with open_checkpoint(tiny_expert2 / opened) as model:
        assert model.kind == kind
        assert set(model.names) == set(truth)
        assert [file.name for file in model.weight_files] == [
            f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)
        ]
        assert all(torch.equal(model.read(name), truth[name]) for name in model.names)
        assert model.config["model_type"] == "llama"
        assert set(model.side_files) >= {*SIDE, "model.safetensors.index.json"}
        assert model.n_parameters == sum(value.numel() for value in truth.values())


def test_a_single_file_opens_with_the_config_beside_it(tiny_base: Path) -> None:
    with open_checkpoint(str(tiny_base / "model.safetensors")) as model:
        assert (model.kind, model.config["hidden_size"]) == ("file", 32)
        assert set(model.side_files) >= SIDE
        assert model.identity.size_bytes == (tiny_base / "model.safetensors").stat().st_size


def test_a_lone_file_has_no_config_and_no_side_files(tiny_base: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_base / "model.safetensors", tmp_path / "lone.safetensors")
    (tmp_path / "notes.txt").write_text("mine")

    with open_checkpoint(tmp_path / "lone.safetensors") as model:
        assert (model.config, model.side_files) == ({}, {})


def test_shards_without_an_index_open(tiny_expert2: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_expert2, tmp_path / "model")
    (folder / "model.safetensors.index.json").unlink()

    with open_checkpoint(folder) as model:
        assert set(model.names) == set(all_tensors(tiny_expert2))


def test_files_beside_a_config_open_as_one_model(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "one.safetensors")
    save_file({"b": torch.ones(2)}, tmp_path / "two.safetensors")
    (tmp_path / "config.json").write_text("{}")

    with open_checkpoint(tmp_path) as model:
        assert model.names == ("a", "b")


def test_several_files_without_a_config_are_not_guessed_at(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "one.safetensors")
    save_file({"b": torch.ones(2)}, tmp_path / "two.safetensors")

    with pytest.raises(FileError, match=r"holds 2 separate weight files and no config\.json"):
        open_checkpoint(tmp_path)


def test_the_index_decides_when_there_are_other_files(tiny_expert2: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_expert2, tmp_path / "model")
    save_file({"x": torch.ones(1)}, folder / "consolidated.safetensors")

    with open_checkpoint(folder) as model:
        assert "x" not in model
        assert model.left_out["consolidated.safetensors"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(NUMPY_DTYPE))
def test_every_dtype_is_read(name: str, tmp_path: Path) -> None:
    tensor = torch.arange(6).to(torch_dtype(name)).reshape(3, 2)
    save_file({"t": tensor}, tmp_path / "m.safetensors")

    with open_checkpoint(tmp_path / "m.safetensors") as model:
        assert model.info("t").dtype == name
        assert model.read_words("t").dtype == NUMPY_DTYPE[name]
        got = model.read("t", slice(1, 3))
        assert got.dtype == tensor.dtype
        assert got.view(torch.uint8).tolist() == tensor[1:3].view(torch.uint8).tolist()


def test_empty_and_scalar_tensors_are_read(tmp_path: Path) -> None:
    save_file({"e": torch.zeros(0, 3), "s": torch.tensor(2.5)}, tmp_path / "m.safetensors")

    with open_checkpoint(tmp_path / "m.safetensors") as model:
        assert model.read("e").shape == (0, 3)
        assert model.read("s").item() == 2.5
        assert model.read_words("s").shape == ()


def test_reading_copies_nothing_and_gives_nothing_to_write_to(tiny_base: Path) -> None:
    with open_checkpoint(tiny_base) as model:
        words = model.read_words("lm_head.weight")

        assert not words.flags.writeable
        assert model.read("lm_head.weight").data_ptr() == words.ctypes.data


def test_released_pages_leave_memory_and_read_the_same_again(tmp_path: Path) -> None:
    memory = Path("/proc/self/statm")
    if not memory.exists():
        pytest.skip("this system does not say what is in memory")
    save_file({"a": torch.ones(32_000_000, dtype=torch.uint8)}, tmp_path / "m.safetensors")

    def mapped_bytes() -> int:
        return int(memory.read_text().split()[2]) * mmap.PAGESIZE

    with open_checkpoint(tmp_path / "m.safetensors") as model:
        words = model.read_words("a")
        assert words.sum() == 32_000_000
        before = mapped_bytes()

        model.release("a")

        assert before - mapped_bytes() > 30_000_000
        assert words.sum() == 32_000_000


def test_tensors_stay_readable_after_closing(tiny_base: Path) -> None:
    model = open_checkpoint(tiny_base)
    tensor = model.read("lm_head.weight")

    model.close()

    truth = load_file(tiny_base / "model.safetensors")["lm_head.weight"]
    assert torch.equal(tensor, truth)


def test_a_misaligned_file_is_read(write_raw: Callable[..., Path], tmp_path: Path) -> None:
    header = {
        "a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "b": {"dtype": "F32", "shape": [2], "data_offsets": [1, 9]},
    }
    path = write_raw(
        tmp_path / "m.safetensors", header, b"\1" + np.array([3, 4], np.float32).tobytes()
    )

    with open_checkpoint(path) as model:
        assert model.read("b").tolist() == [3.0, 4.0]


def test_opening_does_not_read_tensors(tmp_path: Path) -> None:
    n_bytes = 2**40
    header = {"a": {"dtype": "U8", "shape": [n_bytes], "data_offsets": [0, n_bytes]}}
    text = json.dumps(header).encode()
    path = tmp_path / "m.safetensors"
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        try:
            file.truncate(8 + len(text) + n_bytes)
        except OSError:
            pytest.skip("this disk has no sparse files of 1 TB")

    with open_checkpoint(path) as model:
        assert model.nbytes == n_bytes


def test_a_file_that_shrank_since_it_was_opened_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    shutil.copy(tiny_base / "model.safetensors", path)
    model = open_checkpoint(path)
    with path.open("r+b") as file:
        file.truncate(100)

    with pytest.raises(FileError, match="bytes when it was opened, now 100"):
        model.read("lm_head.weight")


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("pytorch_model.bin", UnsafeFormatError, "unsafe format"),
        ("model.pt", UnsafeFormatError, "unsafe format"),
        ("model.pth", UnsafeFormatError, "unsafe format"),
        ("model.ckpt", UnsafeFormatError, "unsafe format"),
        ("model.gguf", FileError, "GGUF files are not read here"),
        ("model.onnx", FileError, "ONNX files are not read here"),
        ("notes.txt", FileError, "is not a model file"),
    ],
)
@pytest.mark.parametrize("as_folder", [True, False])
def test_other_formats_are_refused_by_name(
    tmp_path: Path, name: str, kind: type[FileError], text: str, as_folder: bool
) -> None:
    path = tmp_path / name
    path.write_bytes(b"GGUF")
    expected = "holds no weights" if as_folder and name == "notes.txt" else text

    with pytest.raises(kind, match=expected):
        open_checkpoint(tmp_path if as_folder else path)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere: is not there\. Check the path\."):
        open_checkpoint(tmp_path / "nowhere")


def test_content_is_the_same_however_it_is_sharded(
    tiny_expert2: Path, tmp_path: Path, control: JobControl
) -> None:
    save_file(all_tensors(tiny_expert2), tmp_path / "model.safetensors")

    with open_checkpoint(tiny_expert2) as one, open_checkpoint(tmp_path) as other:
        assert content_hash(one, control) == content_hash(other, control)
        assert one.identity.header != ""


def test_content_changes_with_one_bit(tiny_base: Path, tmp_path: Path, control: JobControl) -> None:
    folder = shutil.copytree(tiny_base, tmp_path / "model")
    raw = bytearray((folder / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (folder / "model.safetensors").write_bytes(raw)

    with open_checkpoint(tiny_base) as one, open_checkpoint(folder) as other:
        assert one.identity.header == other.identity.header
        assert content_hash(one, control) != content_hash(other, control)


def test_hashing_tells_how_far_it_is_and_stops(tiny_base: Path) -> None:
    seen: list[Progress] = []
    control = JobControl(lambda event: seen.append(event) or control.cancelled.set())  # type: ignore[arg-type,func-returns-value]  # a list's append gives None

    with open_checkpoint(tiny_base) as model, pytest.raises(CancelledError):
        content_hash(model, control)

    assert len(seen) == 1
    assert seen[0].total == 43_328


def test_a_tensor_hash_is_of_the_raw_bytes_and_names_its_algorithm() -> None:
    words = np.arange(6, dtype="<u2").reshape(2, 3)

    # printf of these 12 bytes | b2sum -l 128
    assert tensor_hash(words) == f"blake3:{blake3(words.tobytes()).hexdigest(length=16)}"
    # As files of earlier versions have it.
    assert tensor_hash(words, like="0" * 32) == "2cc2bd987f1f48b7bcb892a9700e50fa"
    assert tensor_hash(words.T.copy().T) == tensor_hash(words)


def test_a_hub_snapshot_knows_where_it_came_from(
    tiny_base: Path, cached_model: Callable[[Path, str, str], Path]
) -> None:
    snapshot = cached_model(tiny_base, "acme/tiny-1", "0123abc")

    for path in (snapshot, snapshot.parent.parent):
        with open_checkpoint(path) as model:
            assert isinstance(model, ModelCheckpoint)
            assert model.kind == "hub"
            assert model.source is not None
            assert (model.source.repo_id, model.source.revision) == ("acme/tiny-1", "0123abc")
            assert set(model.side_files) >= SIDE
            assert model.read("lm_head.weight").shape == (96, 32)


def test_an_unfinished_download_is_incomplete(
    tiny_base: Path, cached_model: Callable[[Path, str, str], Path]
) -> None:
    snapshot = cached_model(tiny_base, "acme/tiny", "0123abc")
    weights = snapshot / "model.safetensors"
    blob = weights.resolve()

    blob.rename(blob.with_name(f"{blob.name}.incomplete"))
    with pytest.raises(IncompleteError, match="1 of 1 weight files missing"):
        open_checkpoint(snapshot)
    weights.unlink()
    with pytest.raises(IncompleteError, match="its download did not finish"):
        open_checkpoint(snapshot)


def test_the_room_is_opened_without_torch(tiny_base: Path) -> None:
    code = (
        "import sys\n"
        "from deltaworks.checkpoints import *\n"
        "from deltaworks.progress import JobControl\n"
        f"model = open_checkpoint({str(tiny_base)!r})\n"
        "roles_of([model.info(name) for name in model.names], model.config)\n"
        "content_hash(model, JobControl()), tensor_hash(model.read_words('lm_head.weight'))\n"
        f"assert verify_checkpoint({str(tiny_base)!r}, JobControl()) == []\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
