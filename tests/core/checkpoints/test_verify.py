from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from deltaworks.checkpoints import verify_checkpoint
from deltaworks.errors import CancelledError
from deltaworks.progress import JobControl, Progress, Warned


def test_sound_models_have_no_faults(
    tiny_base: Path, tiny_expert2: Path, control: JobControl
) -> None:
    assert verify_checkpoint(tiny_base, control) == []
    assert verify_checkpoint(tiny_expert2, control) == []
    last = control.events[-1]  # type: ignore[attr-defined]  # see the fixture
    assert isinstance(last, Progress)
    assert last.done == last.total > 0


def test_what_cannot_be_opened_is_one_fault(tmp_path: Path, control: JobControl) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"12345")

    (fault,) = verify_checkpoint(tmp_path, control)

    assert "has 5 bytes, too few for a header" in fault


def test_values_that_are_not_numbers_are_noted(
    tmp_path: Path, control: JobControl, warned: Callable[[], list[Warned]]
) -> None:
    tensor = torch.zeros(3, 500).bfloat16()
    tensor[1, 3:5] = torch.nan
    save_file({"w": tensor, "i": torch.arange(3)}, tmp_path / "model.safetensors")

    assert verify_checkpoint(tmp_path, control) == []
    assert warned() == [Warned("2 of 1,500 values are NaN", "w")]


def test_tensors_that_the_index_does_not_name_are_faults(
    tiny_expert2: Path, tmp_path: Path, control: JobControl
) -> None:
    folder = shutil.copytree(tiny_expert2, tmp_path / "m")
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    del index["weight_map"]["model.norm.weight"]
    path.write_text(json.dumps(index))

    (fault,) = verify_checkpoint(folder, control)

    assert "does not name tensor model.norm.weight" in fault


def test_a_blob_that_is_not_what_its_name_says_is_a_fault(
    tiny_base: Path, cached_model: Callable[[Path, str, str], Path], control: JobControl
) -> None:
    snapshot = cached_model(tiny_base, "acme/tiny", "0123")
    assert verify_checkpoint(snapshot, control) == []
    blob = (snapshot / "model.safetensors").resolve()
    raw = bytearray(blob.read_bytes())
    raw[-1] ^= 1
    blob.write_bytes(raw)

    (fault,) = verify_checkpoint(snapshot, control)

    assert "0123/model.safetensors: its SHA-256 begins" in fault


def test_stop_is_heard(tiny_base: Path, control: JobControl) -> None:
    control.cancelled.set()

    with pytest.raises(CancelledError):
        verify_checkpoint(tiny_base, control)
