from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deltaworks.checkpoints import find_checkpoints


def found(root: Path, *, subfolders: bool = True) -> list[str]:
    paths = find_checkpoints(root, subfolders=subfolders)
    return [path.relative_to(root).as_posix() for path in paths]


def put(root: Path, *names: str, data: bytes = b"") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_models_are_found_once_each_and_in_order(
    tmp_path: Path, tiny_base: Path, tiny_expert2: Path
) -> None:
    shutil.copytree(tiny_base, tmp_path / "b" / "base")
    shutil.copytree(tiny_expert2, tmp_path / "a")
    put(tmp_path, "store/x.safetensors", "store/y.safetensors", "notes/readme.md")

    assert found(tmp_path) == ["a", "b/base", "store/x.safetensors", "store/y.safetensors"]


@pytest.mark.parametrize(
    "names",
    [
        ("model-00001-of-00002.safetensors",),
        ("model.safetensors.index.json",),
        ("pytorch_model.bin",),
        ("pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"),
        ("adapter_config.json", "adapter_model.safetensors"),
        ("adapter_config.json", "adapter_model.bin"),
        ("config.json", "weights.safetensors"),
    ],
)
def test_broken_unsafe_and_adapter_folders_are_given_too(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    put(tmp_path, *(f"m/{name}" for name in names))

    assert found(tmp_path) == ["m"]


def test_a_model_is_not_searched_further(tmp_path: Path) -> None:
    put(tmp_path, "m/model.safetensors", "m/checkpoint-10/model.safetensors", "m/onnx/a.pt")

    assert found(tmp_path) == ["m"]


def test_loose_pickles_are_told_by_their_first_bytes(tmp_path: Path) -> None:
    put(tmp_path, "a.pt", data=b"PK\x03\x04rest")
    put(tmp_path, "b.ckpt", data=b"\x80\x02rest")
    put(tmp_path, "paths.pth", data=b"import site\n")
    put(tmp_path, "optimizer.pt", data=b"PK\x03\x04rest")

    assert found(tmp_path) == ["a.pt", "b.ckpt"]


def test_hidden_folders_are_passed_over_but_for_caches(
    tmp_path: Path, tiny_base: Path, cached_model: Callable[[Path, str, str], Path]
) -> None:
    cached_model(tiny_base, "acme/tiny", "0123")
    root = tmp_path / "root"
    put(root, ".git/model.safetensors", ".venv/lib/model.safetensors", "x.partial-7/a.safetensors")
    hub = root / ".cache" / "huggingface" / "hub"
    hub.parent.mkdir(parents=True)
    shutil.move(tmp_path / "hub", hub)
    put(hub, "models--acme--config-only/snapshots/1/config.json")
    put(hub, "datasets--acme--data/snapshots/1/data.json", "version.txt")

    assert found(root) == [".cache/huggingface/hub/models--acme--tiny/snapshots/0123"]


def test_unfinished_downloads_are_given(tmp_path: Path) -> None:
    repo = tmp_path / "models--acme--tiny"
    put(repo, "snapshots/1/config.json", "blobs/abc.incomplete")

    assert found(tmp_path) == ["models--acme--tiny/snapshots/1"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    put(tmp_path, "a/m/model.safetensors")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")

    assert found(tmp_path) == ["a/m"]


def test_without_subfolders_only_the_nearest_are_searched(tmp_path: Path) -> None:
    put(tmp_path, "x.safetensors", "near/model.safetensors", "far/away/model.safetensors")

    assert found(tmp_path, subfolders=False) == ["x.safetensors", "near"]


def test_a_file_as_root_is_given_if_it_looks_like_a_model(tmp_path: Path) -> None:
    put(tmp_path, "x.safetensors", "x.txt")

    assert list(find_checkpoints(tmp_path / "x.safetensors")) == [tmp_path / "x.safetensors"]
    assert list(find_checkpoints(tmp_path / "x.txt")) == []


def test_a_root_that_is_gone_gives_nothing(tmp_path: Path) -> None:
    assert list(find_checkpoints(tmp_path / "gone")) == []
