"""Disks that are full or refuse: one sentence with numbers, nothing left behind."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deltaworks.checkpoints import DeltaWriter, ModelWriter, TensorInfo, open_checkpoint
from deltaworks.errors import FileError, SpaceError
from deltaworks.progress import JobControl

INFOS = [TensorInfo(f"t{number}", (1000,), "U8") for number in range(4)]
DATA = np.zeros(1000, np.uint8)


def write_model(target: Path) -> None:
    with ModelWriter(target, INFOS, side_files={"config.json": b"{}"}) as writer:
        for info in INFOS:
            writer.write(info.name, DATA)
        writer.commit(JobControl())


def write_delta(target: Path, base: Path) -> None:
    with (
        open_checkpoint(base) as model,
        DeltaWriter(
            target, base=model, expert=model, method="sign", options={}, seed=0, recipe={}
        ) as writer,
    ):
        for name in model.names:
            writer.add(model.info(name), "sign", {"x": DATA}, base_hash="")
        writer.finish(lambda _sizes: {})


def write(kind: str, target: Path, base: Path) -> None:
    if kind == "model":
        write_model(target)
    else:
        write_delta(target, base)


@pytest.mark.parametrize("kind", ["model", "delta"])
def test_too_little_space_is_told_before_the_first_byte(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=700))

    with pytest.raises(SpaceError, match=r"needs [\d,]+ bytes, 700 are free") as caught:
        write(kind, tmp_path / "new" / "x", tiny_base)

    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("kind", ["model", "delta"])
def test_a_disk_that_fills_up_on_the_way_leaves_nothing(
    tmp_path: Path,
    tiny_base: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    after: int,
    kind: str,
) -> None:
    pwrite, calls = os.pwrite, []

    def fill_up(fd: int, data: Any, offset: int) -> int:
        calls.append(offset)
        if len(calls) > after:
            raise OSError(code, os.strerror(code))
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", fill_up)

    with pytest.raises(SpaceError, match=r"the disk is full: [\d,]+ bytes to write, [\d,]+ free"):
        write(kind, tmp_path / "new" / "x", tiny_base)

    assert list(tmp_path.iterdir()) == []


def test_space_that_cannot_be_taken_at_once_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_fd: int, _offset: int, _length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)

    with pytest.raises(SpaceError, match="the disk is full"):
        write_model(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_cannot_reserve_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(_fd: int, _offset: int, _length: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", unsupported)

    write_model(tmp_path / "m")

    with open_checkpoint(tmp_path / "m") as model:
        assert model.nbytes == 4000


def test_a_system_without_positional_writes_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "one")
    for name in ("pwrite", "pread", "posix_fallocate", "posix_fadvise"):
        monkeypatch.delattr(os, name)

    write_model(tmp_path / "two")

    one, two = (tmp_path / name / "model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path, tiny_base: Path) -> None:
    (tmp_path / "taken").write_text("mine")

    with pytest.raises(FileError, match="taken is a file, so nothing can be put into it"):
        write_model(tmp_path / "taken" / "m")
    with pytest.raises(FileError, match="taken is a file, so nothing can be put into it"):
        write_delta(tmp_path / "taken" / "d.safetensors", tiny_base)
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_folder_that_may_not_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_args: Any, **_kwargs: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)

    with pytest.raises(FileError, match="no permission"):
        write_model(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_to_flush_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(FileError, match="input/output error"):
        write_model(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
