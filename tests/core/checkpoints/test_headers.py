from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from deltaworks.checkpoints.headers import (
    Header,
    build_header,
    parse_header,
    read_header,
    read_header_bytes,
)
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.errors import FileError

SOUND = {
    "__metadata__": {"format": "pt"},
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "BF16", "shape": [0, 4], "data_offsets": [24, 24]},
    "c": {"dtype": "U8", "shape": [], "data_offsets": [24, 25]},
}
TEXT = json.dumps(SOUND).encode()
SOUND_FILE = len(TEXT).to_bytes(8, "little") + TEXT + bytes(25)


def read_or_refuse(read: Callable[[], Header]) -> Header | str:
    """Read; or give the sentence of a FileError, which is all that may be raised."""
    try:
        return read()
    except FileError as error:
        return str(error)


def test_a_header_says_what_the_library_wrote(tmp_path: Path) -> None:
    tensors = {"w": torch.ones(2, 3), "é": torch.zeros(4).bfloat16(), "i": torch.arange(3)}
    save_file(tensors, tmp_path / "m.safetensors", metadata={"format": "pt", "k": "ü"})

    header = read_header(tmp_path / "m.safetensors")

    assert {name: one.info.shape for name, one in header.tensors.items()} == {
        "w": (2, 3),
        "é": (4,),
        "i": (3,),
    }
    assert header.metadata == {"format": "pt", "k": "ü"}
    assert header.file_bytes == (tmp_path / "m.safetensors").stat().st_size


def test_a_built_header_has_these_bytes() -> None:
    infos = [TensorInfo("a", (2,), "F32"), TensorInfo("b.é", (1, 3), "BF16")]

    raw = build_header(infos, {"format": "pt"})

    text = (
        '{"__metadata__":{"format":"pt"},'
        '"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
        '"b.é":{"dtype":"BF16","shape":[1,3],"data_offsets":[8,14]}}'
    ).encode()
    padded = text + b" " * (-len(text) % 8)
    assert raw == len(padded).to_bytes(8, "little") + padded


def test_the_library_reads_a_built_header(tmp_path: Path) -> None:
    raw = build_header([TensorInfo("a", (2,), "F32")], {}, least_bytes=512)

    (tmp_path / "m.safetensors").write_bytes(raw + torch.ones(2).numpy().tobytes())

    assert len(raw) == 512
    assert load_file(tmp_path / "m.safetensors")["a"].tolist() == [1.0, 1.0]
    assert read_header_bytes(tmp_path / "m.safetensors") == raw


def test_tensors_come_in_the_order_of_their_data() -> None:
    entries = {
        "late": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]},
        "early": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
    }
    text = json.dumps(entries).encode()
    raw = len(text).to_bytes(8, "little") + text

    header = parse_header(raw, len(raw) + 2, "m")

    assert list(header.tensors) == ["early", "late"]


@given(data=st.data())
@settings(
    max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_a_changed_file_is_read_or_refused_and_nothing_else(
    tmp_path: Path, data: st.DataObject
) -> None:
    raw = bytearray(SOUND_FILE)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        raw = raw or bytearray(b"\0")
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw)
    tracemalloc.start()

    result = read_or_refuse(lambda: read_header(path))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000
    if isinstance(result, str):
        assert "m.safetensors: " in result
        assert "\n" not in result
    else:
        n_bytes = sum(one.info.nbytes for one in result.tensors.values())
        assert n_bytes == result.file_bytes - result.data_start


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "U8", "F4", "", "bf16"]) | JSON,
        "shape": st.lists(st.integers(-1, 4), max_size=3) | JSON,
        "data_offsets": st.lists(st.integers(-1, 30), min_size=1, max_size=3) | JSON,
    }
)


@given(st.dictionaries(st.sampled_from(["a", "b", "", "__metadata__"]), ENTRY | JSON))
@settings(max_examples=300, deadline=None)
def test_any_json_is_read_or_refused(entries: dict[str, object]) -> None:
    text = json.dumps(entries).encode()
    raw = len(text).to_bytes(8, "little") + text

    result = read_or_refuse(lambda: parse_header(raw, len(raw) + 8, "m.safetensors"))

    if isinstance(result, str):
        assert result.startswith("m.safetensors: ")
    else:
        assert sum(one.info.nbytes for one in result.tensors.values()) == 8


@pytest.mark.parametrize("axis", [2**62, 2**63, 10**40])
def test_shapes_beyond_any_array_are_refused_although_they_hold_nothing(
    write_raw: Callable[..., Path], tmp_path: Path, axis: int
) -> None:
    entry = {"dtype": "F32", "shape": [0, axis], "data_offsets": [0, 0]}
    path = write_raw(tmp_path / "m.safetensors", {"a": entry})

    with pytest.raises(FileError, match="tensor 'a'"):
        read_header(path)
