"""Folders that lie or lack something, and pickles, which must never run."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from deltaworks.checkpoints import (
    IncompleteError,
    UnsafeFormatError,
    find_checkpoints,
    open_checkpoint,
    verify_checkpoint,
)
from deltaworks.errors import AppError, FileError
from deltaworks.progress import JobControl

INDEX = "model.safetensors.index.json"


class Payload:
    """Runs when it is unpickled: makes a marker file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize(
    "name",
    ["pytorch_model.bin", "adapter_model.bin", "model.pt", "model.pth", "model.ckpt", "m.pkl"],
)
def test_a_pickle_is_never_run(tmp_path: Path, name: str) -> None:
    marker = tmp_path / "it-ran"
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (folder / name).write_bytes(pickle.dumps(Payload(marker)))

    list(find_checkpoints(tmp_path))
    faults = verify_checkpoint(folder / name, JobControl())
    with pytest.raises(UnsafeFormatError, match="unsafe format: a pickle can run code"):
        open_checkpoint(folder / name)
    with pytest.raises(FileError):
        open_checkpoint(folder)

    assert "unsafe format" in faults[0]
    assert not marker.exists()


def test_a_pickle_under_another_name_is_no_safetensors(tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps(Payload(marker)))

    with pytest.raises(FileError):
        open_checkpoint(tmp_path)

    assert not marker.exists()


@pytest.mark.parametrize("with_index", [True, False])
def test_a_missing_shard_is_named(tiny_expert2: Path, tmp_path: Path, with_index: bool) -> None:
    folder = shutil.copytree(tiny_expert2, tmp_path / "m")
    (folder / "model-00002-of-00003.safetensors").unlink()
    if not with_index:
        (folder / INDEX).unlink()

    with pytest.raises(IncompleteError) as caught:
        open_checkpoint(folder)

    assert str(caught.value) == (
        f"{tmp_path.name}/m: 1 of 3 weight files missing: model-00002-of-00003.safetensors. "
        "Download the rest."
    )


def test_a_set_that_claims_very_many_shards_is_told_in_short(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "model-00001-of-99999.safetensors")

    with pytest.raises(IncompleteError, match="99,998 of 99,999 weight files missing") as caught:
        open_checkpoint(tmp_path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("index", "text"),
    [
        (b'{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}', "names 'a' twice"),
        (b'{"weight_map": {"a": "../x.safetensors"}}', "which is no safetensors file here"),
        (b'{"weight_map": {"a": "/etc/x.safetensors"}}', "which is no safetensors file here"),
        (b'{"weight_map": {"a": "x.bin"}}', "which is no safetensors file here"),
        (b'{"weight_map": {"a": 3}}', "which is no safetensors file here"),
        (b'{"weight_map": {}}', "has no weight_map"),
        (b"{}", "has no weight_map"),
        (b"[]", "its JSON is not an object"),
        (b"\xff", "is not UTF-8"),
        (b'{"weight_map": {"z": "x.safetensors"}}', "says that tensor z is in x.safetensors"),
    ],
)
def test_an_index_that_lies_is_refused(tmp_path: Path, index: bytes, text: str) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / INDEX).write_bytes(index)
    save_file({"a": torch.ones(1)}, folder / "x.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "x.safetensors")

    with pytest.raises(FileError, match=text):
        open_checkpoint(folder)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        save_file({"a": torch.ones(1)}, tmp_path / f"model-0000{number}-of-00002.safetensors")

    with pytest.raises(FileError, match=r"tensor a is in model-00001.* and in model-00002"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("config", [b"{", b"[]", b'{"a": 1, "a": 2}', b"\xff\xfe"])
def test_a_config_that_cannot_be_read_is_named(
    tiny_base: Path, tmp_path: Path, config: bytes
) -> None:
    folder = shutil.copytree(tiny_base, tmp_path / "m")
    (folder / "config.json").write_bytes(config)

    with pytest.raises(FileError, match=r"m/config\.json: "):
        open_checkpoint(folder)


def test_a_link_to_nothing_is_incomplete(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "gone")

    for path in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(IncompleteError):
            open_checkpoint(path)


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "model.safetensors")

    with pytest.raises(AppError):
        open_checkpoint(tmp_path / "model.safetensors")


def test_two_sets_of_shards_are_not_mixed(tmp_path: Path) -> None:
    for count in (1, 2):
        save_file({"a": torch.ones(1)}, tmp_path / f"model-00001-of-0000{count}.safetensors")

    with pytest.raises(FileError, match="holds 2 sets of shards: model of 1, model of 2"):
        open_checkpoint(tmp_path)


def test_a_set_of_no_shards_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "model-00000-of-00000.safetensors")

    with pytest.raises(FileError):
        open_checkpoint(tmp_path)


def change_manifest(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite a delta file's manifest in place of the true one."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    manifest = json.loads(header["__metadata__"]["delta_manifest"])
    change(manifest)
    header["__metadata__"]["delta_manifest"] = json.dumps(manifest)
    del header["__metadata__"]["integrity"]  # as in a file of an early version
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "later format": (lambda m: m.update(format=2), "delta format 2, at most 1 is read"),
    "unknown field": (lambda m: m.update(new=1), "the manifest's new is wrong"),
    "no method": (lambda m: m.pop("method"), "the manifest's method is wrong"),
    "escape": (lambda m: m.update(side_files=["../x"]), "differ about __file__ parts"),
    "lost tensor": (lambda m: m["same"].pop(), "name different tensors"),
    "shape": (
        lambda m: next(iter(m["tensors"].values())).update(shape=[1]),
        "the expert's headers|tensor model",
    ),
    "alias": (
        lambda m: m["alias"].update({m["same"].pop(): "gone"}),
        "an alias points to no stored tensor",
    ),
    "size": (
        lambda m: m["expert"]["files"].update({"model.safetensors": 10**12}),
        "after the last tensor belong to nothing",
    ),
}


@pytest.fixture
def delta_file(tiny_base: Path, tiny_expert: Path, tmp_path: Path) -> Path:
    """A delta that stores block matrices as plain bytes and notes the rest as the base's."""
    import numpy as np

    from deltaworks.checkpoints import DeltaWriter, tensor_hash

    with open_checkpoint(tiny_base) as base, open_checkpoint(tiny_expert) as expert:
        writer = DeltaWriter(
            tmp_path / "d.safetensors",
            base=base,
            expert=expert,
            method="lossless",
            options={},
            seed=0,
            recipe={},
        )
        for name in expert.names:
            base_hash = tensor_hash(base.read_words(name))
            if "_proj" in name:
                parts = {"raw": np.zeros(3, np.uint8)}
                writer.add(expert.info(name), "lossless", parts, base_hash=base_hash)
            else:
                writer.same(name, base_hash)
        return writer.finish(lambda _sizes: {})


@pytest.mark.parametrize(("change", "text"), CHANGES.values(), ids=CHANGES.keys())
def test_a_manifest_that_lies_is_refused(
    delta_file: Path, change: Callable[[dict[str, Any]], None], text: str
) -> None:
    change_manifest(delta_file, change)

    with pytest.raises(FileError, match=text) as caught:
        open_checkpoint(delta_file)
    assert "\n" not in str(caught.value)


def test_parts_that_decode_to_nothing_are_told_tensor_by_tensor(
    delta_file: Path, tiny_base: Path
) -> None:
    faults = verify_checkpoint(delta_file, JobControl(), base=tiny_base)

    assert len(faults) == 14
    assert all(fault.startswith("model.layers.") or "/d.safetensors" in fault for fault in faults)


def test_an_unknown_codec_is_named(delta_file: Path, tiny_base: Path) -> None:
    def rename(manifest: dict[str, Any]) -> None:
        for stored in manifest["tensors"].values():
            stored["codec"] = "magic"

    change_manifest(delta_file, rename)

    with open_checkpoint(delta_file, base=tiny_base) as delta, pytest.raises(AppError) as caught:
        delta.read("model.layers.0.mlp.up_proj.weight")
    assert "magic" in str(caught.value)
