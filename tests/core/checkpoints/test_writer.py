from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from deltaworks.checkpoints import ModelWriter, TensorInfo, open_checkpoint
from deltaworks.checkpoints import writer as writer_module
from deltaworks.checkpoints.headers import read_header_bytes
from deltaworks.errors import CancelledError, FileError, MismatchError
from deltaworks.progress import JobControl

INFOS = (TensorInfo("a", (2, 3), "F32"), TensorInfo("b", (4,), "BF16"), TensorInfo("e", (0,), "U8"))
A = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.arange(4, dtype=np.uint16)


def filled(folder: Path, **options: object) -> ModelWriter:
    writer = ModelWriter(folder, INFOS, **options)  # type: ignore[arg-type]  # passed through
    writer.write("a", A)
    writer.write("b", B)
    return writer


def test_a_written_file_has_these_bytes(tmp_path: Path, control: JobControl) -> None:
    (file,) = filled(tmp_path / "m", side_files={"config.json": b"{}"}).commit(control)

    text = (
        b'{"__metadata__":{"format":"pt"},'
        b'"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},'
        b'"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},'
        b'"e":{"dtype":"U8","shape":[0],"data_offsets":[32,32]}}'
    )
    text += b" " * (-len(text) % 8)
    assert file == tmp_path / "m" / "model.safetensors"
    assert file.read_bytes() == len(text).to_bytes(8, "little") + text + A.tobytes() + B.tobytes()
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "config.json",
        "m",
        "model.safetensors",
    ]


def test_order_pieces_and_threads_do_not_change_the_bytes(
    tmp_path: Path, control: JobControl
) -> None:
    data = np.random.default_rng(0).integers(0, 256, (64, 1000), dtype=np.uint8)
    infos = [TensorInfo(f"t{row}", (1000,), "U8") for row in range(64)]

    def write(folder: Path, workers: int, piece: int) -> bytes:
        with ModelWriter(folder, infos) as writer, ThreadPoolExecutor(workers) as pool:
            for row in reversed(range(64)):
                for at in range(0, 1000, piece):
                    words = data[row, at : at + piece]
                    pool.submit(writer.write, f"t{row}", words, offset=at)
            pool.shutdown()
            (file,) = writer.commit(control)
        return file.read_bytes()

    assert write(tmp_path / "one", 1, 1000) == write(tmp_path / "many", 8, 7)


def test_shards_are_cut_by_size_and_named_as_hugging_face_does(
    tmp_path: Path, control: JobControl
) -> None:
    files = filled(tmp_path / "m", shard_bytes=24).commit(control)

    assert [file.name for file in files] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    index = json.loads((tmp_path / "m" / "model.safetensors.index.json").read_text())
    assert index == {
        "metadata": {"total_size": 32},
        "weight_map": {"a": files[0].name, "b": files[1].name, "e": files[1].name},
    }
    assert load_file(files[0])["a"].tolist() == A.tolist()


def test_transformers_loads_what_was_written(
    tiny_expert: Path, tmp_path: Path, control: JobControl
) -> None:
    with open_checkpoint(tiny_expert) as model:
        infos = [model.info(name) for name in model.names]
        side = model.side_files
        with ModelWriter(tmp_path / "m", infos, shard_bytes=20_000, side_files=side) as writer:
            for name in model.names:
                writer.write(name, model.read_words(name))
            writer.commit(control)

    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "m").state_dict()
    truth = load_file(tiny_expert / "model.safetensors")
    assert all((loaded[name] == value).all() for name, value in truth.items())


def test_an_index_of_other_shards_is_not_copied(
    tiny_expert2: Path, tmp_path: Path, control: JobControl
) -> None:
    stale = tiny_expert2 / "model.safetensors.index.json"

    filled(tmp_path / "m", side_files={stale.name: stale}).commit(control)

    assert not (tmp_path / "m" / stale.name).exists()


def test_given_headers_are_written_as_they_are(
    tiny_expert2: Path, tmp_path: Path, control: JobControl
) -> None:
    with open_checkpoint(tiny_expert2) as model:
        headers = {file.name: read_header_bytes(file) for file in model.weight_files}
        infos = [model.info(name) for name in sorted(model.names)]
        writer = ModelWriter(tmp_path / "m", infos, headers=headers, side_files=model.side_files)
        for info in infos:
            writer.write(info.name, model.read_words(info.name))
        writer.commit(control)

    theirs = {file.name: file.read_bytes() for file in tiny_expert2.iterdir()}
    assert {file.name: file.read_bytes() for file in (tmp_path / "m").iterdir()} == theirs


def test_headers_of_other_tensors_are_refused(tiny_expert2: Path, tmp_path: Path) -> None:
    with open_checkpoint(tiny_expert2) as model:
        headers = {file.name: read_header_bytes(file) for file in model.weight_files}
        infos = [model.info(name) for name in model.names]
        wrong = TensorInfo(infos[0].name, tuple(reversed(infos[0].shape)), "F16")

        with pytest.raises(MismatchError):
            ModelWriter(tmp_path / "m", [wrong, *infos[1:]], headers=headers)
        with pytest.raises((MismatchError, FileError)):
            ModelWriter(tmp_path / "m", infos[1:], headers=headers)
    assert list(tmp_path.iterdir()) == []


def test_nothing_has_the_final_name_before_commit(tmp_path: Path) -> None:
    writer = filled(tmp_path / "m", job_id="7")

    assert [path.name for path in tmp_path.iterdir()] == ["m.partial-7"]
    writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_two_jobs_of_one_id_do_not_share_a_folder(tmp_path: Path) -> None:
    first, second = filled(tmp_path / "m", job_id="7"), filled(tmp_path / "m", job_id="7")

    assert first.partial != second.partial
    first.abort()
    second.abort()


def test_folders_made_for_it_go_with_it(tmp_path: Path) -> None:
    with filled(tmp_path / "new" / "deep" / "m"):
        assert (tmp_path / "new" / "deep").is_dir()

    assert list(tmp_path.iterdir()) == []


def test_a_target_that_exists_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()

    with pytest.raises(FileError, match="is there already"):
        filled(tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_target_made_in_the_meantime_is_kept(tmp_path: Path, control: JobControl) -> None:
    writer = filled(tmp_path / "m")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine.txt").write_text("mine")

    with pytest.raises(FileError, match="was made by something else in the meantime"):
        writer.commit(control)

    assert [path.name for path in tmp_path.rglob("*")] == ["m", "mine.txt"]


def test_a_tensor_left_out_is_a_bug_and_leaves_nothing(tmp_path: Path, control: JobControl) -> None:
    writer = ModelWriter(tmp_path / "m", INFOS)
    writer.write("a", A)

    with pytest.raises(ValueError, match="b: 0 of 8 bytes written"):
        writer.commit(control)
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_the_tensor_has_are_refused(tmp_path: Path) -> None:
    writer = ModelWriter(tmp_path / "m", INFOS)

    with writer, pytest.raises(ValueError, match=r"bytes 4\+8 of 8"):
        writer.write("b", B, offset=4)


def test_cancelling_leaves_nothing(tmp_path: Path, control: JobControl) -> None:
    writer = filled(tmp_path / "m")
    control.cancelled.set()

    with pytest.raises(CancelledError):
        writer.commit(control)
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_change_on_disk_are_noticed(tmp_path: Path, control: JobControl) -> None:
    writer = filled(tmp_path / "m", job_id="7")
    file = tmp_path / "m.partial-7" / "model.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)

    with pytest.raises(FileError, match="read back differ from what was written"):
        writer.commit(control)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("changed", "is_noticed"), [(0, True), (4, True), (5, False)])
def test_of_a_large_tensor_the_first_bytes_written_are_compared(
    tmp_path: Path,
    control: JobControl,
    monkeypatch: pytest.MonkeyPatch,
    changed: int,
    is_noticed: bool,
) -> None:
    monkeypatch.setattr(writer_module, "_SAMPLE_BYTES", 5)
    writer = filled(tmp_path / "m", job_id="7")
    file = tmp_path / "m.partial-7" / "model.safetensors"
    raw = bytearray(file.read_bytes())
    raw[len(raw) - len(B.tobytes()) + changed] ^= 1
    file.write_bytes(raw)

    if not is_noticed:
        writer.commit(control)
        return
    with pytest.raises(FileError, match="read back differ from what was written"):
        writer.commit(control)


def test_side_files_may_lie_in_folders_of_their_own(tmp_path: Path) -> None:
    from deltaworks.checkpoints.folder_hashes import folder_faults

    side = {"processors/a/settings.json": b"{}"}
    with ModelWriter(tmp_path / "m", [TensorInfo("t", (1,), "F32")], side_files=side) as writer:
        writer.write("t", bytes(4))
        writer.add_hashes({})
        writer.commit(JobControl())
    at = tmp_path / "m" / "processors" / "a" / "settings.json"
    assert at.read_bytes() == b"{}"

    at.write_bytes(b"[]")

    assert any("settings.json" in fault for fault in folder_faults(tmp_path / "m", JobControl()))


@pytest.mark.parametrize(
    "name", ["../x", "a/../b", "a//b", "/a", "", "..", "C:x", "model.safetensors"]
)
def test_side_files_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError):
        filled(tmp_path / "m", side_files={name: b""})
    assert list(tmp_path.iterdir()) == []
