"""Damaged and hostile weight files: each is refused in one sentence, with its numbers."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deltaworks.checkpoints import open_checkpoint
from deltaworks.errors import FileError

RawFile = Callable[..., Path]


def entry(begin: int, end: int, dtype: Any = "U8", shape: Any = None) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": [end - begin] if shape is None else shape,
        "data_offsets": [begin, end],
    }


HEADERS: list[tuple[str, Any, bytes, str]] = [
    ("cut short", {"a": entry(0, 9)}, bytes(4), "ends at byte 9 of the data, the file has 4"),
    ("overlap", {"a": entry(0, 4), "b": entry(2, 6)}, bytes(6), "inside another that ends at 4"),
    ("hole", {"a": entry(0, 2), "b": entry(4, 6)}, bytes(6), "2 bytes of the data before tensor"),
    ("tail", {"a": entry(0, 2)}, bytes(5), "3 bytes after the last tensor belong to nothing"),
    ("negative", {"a": entry(-4, 0)}, b"", "data_offsets [-4, 0]"),
    ("backwards", {"a": entry(4, 0, shape=[4])}, bytes(4), "data_offsets [4, 0]"),
    ("huge offset", {"a": entry(0, 2**70)}, b"", "tensor 'a' has shape"),
    ("sizes differ", {"a": entry(0, 4, "F32", [2])}, bytes(4), "takes 8 bytes, its data_offsets"),
    ("dtype", {"a": entry(0, 1, "F4", [2])}, bytes(1), "has dtype 'F4', which is not read here"),
    ("dtype kind", {"a": entry(0, 1, 7)}, bytes(1), "has dtype 7"),
    ("bool shape", {"a": entry(0, 1, shape=[True])}, bytes(1), "has shape [True]"),
    ("float shape", {"a": entry(0, 1, shape=[1.0])}, bytes(1), "has shape [1.0]"),
    ("many axes", {"a": entry(0, 1, shape=[1] * 65)}, bytes(1), "has shape [1, 1,"),
    ("no entry", {"a": 3}, b"", "no proper name or entry"),
    ("extra key", {"a": {**entry(0, 1), "x": 1}}, bytes(1), "and nothing else"),
    ("no name", {"": entry(0, 1)}, bytes(1), "no proper name or entry"),
    ("control characters", {"a\nb": entry(0, 1)}, bytes(1), "no proper name or entry"),
    ("surrogate", b'{"\\ud800": {}}', b"", "no proper name or entry"),
    ("metadata", {"__metadata__": {"k": 1}, "a": entry(0, 1)}, bytes(1), "__metadata__ is not"),
    ("twice", b'{"a": {}, "a": {}}', b"", "names 'a' twice"),
    ("twice inside", b'{"a": {"dtype": "U8", "dtype": "U8"}}', b"", "names 'dtype' twice"),
    ("not utf-8", b'{"\xff": {}}', b"", "byte 2 of its JSON is not UTF-8"),
    ("not json", b'{"a": ', b"", "not JSON at character 6"),
    ("not an object", b"[1, 2]  ", b"", "does not begin with '{'"),
    ("nan", b'{"a": NaN}', b"", "holds NaN, which is not JSON"),
    ("deep", b'{"a":' + b"[" * 100_000, b"", "nested too deep"),
    ("long number", b'{"a":' + b"9" * 10_000 + b"}", b"", "a number too long"),
    ("no tensors", {}, b"", "holds no tensors"),
]


@pytest.mark.parametrize(
    ("header", "data", "text"),
    [case[1:] for case in HEADERS],
    ids=[case[0] for case in HEADERS],
)
def test_a_header_that_does_not_add_up_is_refused(
    tmp_path: Path, raw_file: RawFile, header: Any, data: bytes, text: str
) -> None:
    path = raw_file(tmp_path / "m" / "model.safetensors", header, data)

    with pytest.raises(FileError) as caught:
        open_checkpoint(path)

    sentence = str(caught.value)
    assert text in sentence
    assert sentence.startswith("m")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 400


def test_a_length_beyond_the_file_is_told_with_both_numbers(
    tmp_path: Path, raw_file: RawFile
) -> None:
    path = raw_file(tmp_path / "m" / "model.safetensors", b"{}", length=9_000_000_000_000)

    with pytest.raises(FileError) as caught:
        open_checkpoint(path)

    assert str(caught.value) == (
        "m/model.safetensors: header says 9,000,000,000,000 bytes, the file has 10. "
        "The file is damaged; download it again."
    )


def test_a_header_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write((2**31).to_bytes(8, "little") + b"{")
        file.truncate(2**31 + 8)  # a sparse file: takes no space
    tracemalloc.start()

    with pytest.raises(FileError, match="header of 2,147,483,648 bytes, at most 100,000,000"):
        open_checkpoint(path)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_file_of_a_few_bytes_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(size))

    with pytest.raises(FileError, match=f"has {size} bytes, too few for a header"):
        open_checkpoint(path)


def test_a_pointer_of_git_lfs_is_told_as_that(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")

    with pytest.raises(FileError, match=r"Git LFS pointer.*git lfs pull"):
        open_checkpoint(path)


def test_a_pipe_in_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")

    with pytest.raises(FileError, match="is not a regular file"):
        open_checkpoint(tmp_path / "model.safetensors")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_a_model_that_was_cut_short_is_refused(
    tiny_base: Path, tmp_path: Path, keep: float
) -> None:
    raw = (tiny_base / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(raw[: int(len(raw) * keep)])

    with pytest.raises(FileError, match=r"ends at byte|of the data, the file has"):
        open_checkpoint(tmp_path)
