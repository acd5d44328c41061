from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from deltaworks.checkpoints.mapped import MappedFile
from deltaworks.checkpoints.mapping_faults import check_mapped
from deltaworks.errors import FileError
from deltaworks.numerics.words import words_tensor

pytestmark = pytest.mark.skipif(
    sys.platform not in {"linux", "darwin"}, reason="only POSIX maps behave so"
)
N = 64 * mmap.PAGESIZE


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "m" / "model.safetensors"
    path.parent.mkdir()
    save_file({"w": torch.ones(N, dtype=torch.uint8), "x": torch.ones(8)}, path)
    return path


@pytest.mark.parametrize("reader", ["numpy", "torch", "blake3", "bytes"])
def test_a_file_cut_short_under_its_reader_is_an_error_and_no_crash(
    weights: Path, reader: str
) -> None:
    file = MappedFile(weights)
    words = file.words("w")
    os.truncate(weights, N // 2)

    if reader == "numpy":
        total = int(words.sum(dtype=np.int64))
    elif reader == "torch":
        total = int(words_tensor(words, "U8").sum(dtype=torch.int64))
    elif reader == "bytes":
        total = sum(bytes(words))
    else:
        from blake3 import blake3

        total = N - 1 if blake3(words.data).hexdigest() else N

    assert total < N
    text = r"m/model\.safetensors: could not be read from byte [\d,]+ on: it was cut short"
    with pytest.raises(FileError, match=text):
        check_mapped([weights])
    with pytest.raises(FileError, match=text):
        file.words("x")
    check_mapped([weights.with_name("other.safetensors")])
    file.close()


def test_a_mapping_that_views_keep_alive_is_looked_after_until_they_go(weights: Path) -> None:
    file = MappedFile(weights)
    words = file.words("w")
    file.close()
    os.truncate(weights, 0)

    assert int(words.sum(dtype=np.int64)) == 0
    with pytest.raises(FileError):
        check_mapped([weights])
    del words
    check_mapped([weights])


def test_a_file_replaced_before_it_is_mapped_is_refused(weights: Path, tmp_path: Path) -> None:
    file = MappedFile(weights)
    other = tmp_path / "other"
    other.write_bytes(weights.read_bytes())
    other.replace(weights)

    with pytest.raises(FileError, match="was changed or replaced since it was opened"):
        file.words("w")


def test_a_bus_error_of_others_ends_the_process_as_before(weights: Path) -> None:
    program = f"""
import mmap, os
from pathlib import Path
from deltaworks.checkpoints.mapped import MappedFile
file = MappedFile(Path({str(weights)!r}))
file.words("x")
with open("other", "wb+") as other:
    other.truncate(1 << 20)
    mapping = mmap.mmap(other.fileno(), 0, access=mmap.ACCESS_READ)
    other.truncate(0)
    mapping[9]
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=weights.parent, capture_output=True, timeout=60
    )

    assert ended.returncode == -signal.SIGBUS
