from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deltaworks.errors import CancelledError
from deltaworks.library import scan as scan_module
from deltaworks.library.library import Library
from deltaworks.library.rows import ModelRow, State
from deltaworks.progress import JobControl, Warned

Make = Callable[..., Path]
Weights = Callable[..., dict[str, np.ndarray]]


def rows_of(library: Library) -> dict[str, ModelRow]:
    return {row.name: row for row in library.rows()}


def scan(library: Library) -> dict[str, ModelRow]:
    library.scan(JobControl())
    return rows_of(library)


@pytest.fixture
def models(tmp_path: Path, write_model: Make, weights: Weights, library: Library) -> Path:
    """A watched folder with two models."""
    folder = tmp_path / "models"
    write_model(folder / "first", weights(1), card="license: mit")
    write_model(folder / "deep" / "second", weights(2))
    library.add_root(folder)
    return folder


def test_models_are_listed_with_what_their_files_say(models: Path, library: Library) -> None:
    first = scan(library)["first"]

    assert (first.state, first.kind, first.role) == (State.READY, "folder", "Unknown")
    assert (first.n_parameters, first.dtype, first.arch) == (8 * 576, "F32", "LlamaForCausalLM")
    assert (first.licence, first.source, first.root) == ("mit", "local", str(models))
    assert first.size_bytes == (models / "first" / "model.safetensors").stat().st_size
    assert {Path(file.path).name for file in first.files} == {
        "README.md",
        "config.json",
        "model.safetensors",
    }


def test_a_sharded_model_is_one_row(tiny_expert2: Path, library: Library) -> None:
    library.add_root(tiny_expert2)

    (row,) = scan(library).values()

    shards = sorted(tiny_expert2.glob("*.safetensors"))
    assert len(shards) == 3
    assert row.size_bytes == sum(path.stat().st_size for path in shards)
    assert [file.path for file in row.files if file.is_weight] == [str(path) for path in shards]


def test_subfolders_are_left_alone_when_told(
    tmp_path: Path, write_model: Make, weights: Weights, library: Library
) -> None:
    write_model(tmp_path / "models" / "a" / "b" / "far", weights(1))
    write_model(tmp_path / "models" / "near", weights(2))
    library.add_root(tmp_path / "models", subfolders=False)

    assert set(scan(library)) == {"near"}


def test_an_unchanged_model_is_not_opened_again(
    models: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(library)
    opened = []

    def describe(path: Path, *_files: object) -> None:
        opened.append(path)

    monkeypatch.setattr(scan_module, "describe", describe)
    delivered: list[list[ModelRow]] = []
    library.scan(JobControl(), delivered.append)

    assert (opened, delivered) == ([], [])
    assert models.is_dir()


def test_a_changed_model_is_read_again(
    models: Path, library: Library, write_model: Make, weights: Weights
) -> None:
    before = scan(library)["first"]
    one = weights(3)
    write_model(models / "first", {name: one[name] for name in list(one)[:4]})

    after = scan(library)["first"]

    assert (before.id, before.n_parameters) == (after.id, 8 * 576)
    assert after.n_parameters == 4 * 576


def test_a_model_that_is_gone_is_missing_and_comes_back(models: Path, library: Library) -> None:
    scan(library)
    (models / "first").rename(models.parent / "away")

    gone = scan(library)["first"]
    (models.parent / "away").rename(models / "first")
    back = scan(library)["first"]

    assert (gone.state, back.state) == (State.MISSING, State.READY)
    assert "gone" in gone.reason
    assert gone.id == back.id


def test_a_deleted_root_makes_its_models_missing(models: Path, library: Library) -> None:
    scan(library)
    models.rename(models.parent / "renamed")
    warned: list[str] = []
    control = JobControl(
        lambda event: warned.append(event.text) if isinstance(event, Warned) else None
    )

    library.scan(control)

    assert {row.state for row in library.rows()} == {State.MISSING}
    assert library.roots()[0].state == "Missing"
    assert "gone" in warned[0]


def test_models_of_an_unmounted_volume_are_offline(
    models: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_mount = os.path.ismount
    mounted = {str(models)}
    monkeypatch.setattr(os.path, "ismount", lambda at: str(at) in mounted or is_mount(at))
    library.add_root(models)
    scan(library)
    mounted.clear()

    offline = scan(library)
    mounted.add(str(models))
    back = scan(library)

    assert {row.state for row in offline.values()} == {State.OFFLINE}
    assert {row.state for row in back.values()} == {State.READY}


def test_damaged_files_are_unreadable_with_a_reason(tmp_path: Path, library: Library) -> None:
    def damaged(name: str, content: bytes) -> None:
        (tmp_path / "bad" / name).mkdir(parents=True)
        (tmp_path / "bad" / name / "model.safetensors").write_bytes(content)

    entry = b'"%s":{"dtype":"F32","shape":[4],"data_offsets":[%d,%d]}'
    overlap = b"{" + entry % (b"a", 0, 16) + b"," + entry % (b"b", 8, 24) + b"}"
    damaged("truncated", struct.pack("<Q", 60) + b"{" + entry % (b"a", 0, 16) + b"}")
    damaged("overlapping", struct.pack("<Q", len(overlap)) + overlap + bytes(24))
    damaged("huge-header", struct.pack("<Q", 2**62) + b"{}")
    damaged("empty", b"")
    library.add_root(tmp_path / "bad")

    rows = scan(library)

    assert set(rows) == {"truncated", "overlapping", "huge-header", "empty"}
    assert {row.state for row in rows.values()} == {State.UNREADABLE}
    assert all("model.safetensors" in row.reason for row in rows.values())
    assert "4,611,686,018,427,387,904" in rows["huge-header"].reason


def test_an_absent_shard_makes_a_model_incomplete(
    tmp_path: Path, tiny_expert2: Path, library: Library
) -> None:
    folder = tmp_path / "models" / "partial"
    folder.mkdir(parents=True)
    for path in tiny_expert2.iterdir():
        if "00002-of" not in path.name:
            (folder / path.name).write_bytes(path.read_bytes())
    library.add_root(folder.parent)

    row = scan(library)["partial"]

    assert row.state == State.INCOMPLETE
    assert "00002-of-00003" in row.reason


class Marker:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def test_a_pickle_is_unsafe_and_never_executed(
    tmp_path: Path, library: Library, control: JobControl
) -> None:
    marker = tmp_path / "marker"
    folder = tmp_path / "models" / "old"
    folder.mkdir(parents=True)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Marker(marker)))
    (folder / "config.json").write_text('{"model_type": "llama"}')
    library.add_root(folder.parent)

    row = scan(library)["old"]
    library.relate(control)
    library.hash_contents(control)

    assert row.state == State.UNSAFE
    assert "pytorch_model.bin" in row.reason
    assert row.size_bytes == (folder / "pytorch_model.bin").stat().st_size
    assert not marker.exists()


def test_hard_links_and_shared_files_count_once(
    tmp_path: Path, write_model: Make, weights: Weights, library: Library
) -> None:
    one = write_model(tmp_path / "models" / "one", weights(1))
    two = tmp_path / "models" / "two"
    two.mkdir()
    (two / "config.json").write_text("{}")
    (two / "model.safetensors").hardlink_to(one / "model.safetensors")
    three = tmp_path / "models" / "three"
    three.mkdir()
    (three / "model.safetensors").symlink_to(one / "model.safetensors")
    library.add_root(tmp_path / "models")

    rows = scan(library)

    size = (one / "model.safetensors").stat().st_size
    assert {(row.size_bytes, row.shared_bytes) for row in rows.values()} == {(size, size)}
    assert (library.sizes().on_disk, library.sizes().shared) == (size, size)
    assert library.sizes().models == 3


def test_a_hub_cache_is_read_as_it_is(
    tmp_path: Path, write_model: Make, weights: Weights, library: Library
) -> None:
    repo = tmp_path / "hub" / "models--org--tuned"
    made = write_model(tmp_path / "made", weights(1))
    (repo / "blobs").mkdir(parents=True)
    for revision in ("a" * 40, "b" * 40):
        (repo / "snapshots" / revision).mkdir(parents=True)
        for name in ("model.safetensors", "config.json"):
            (repo / "blobs" / name).write_bytes((made / name).read_bytes())
            (repo / "snapshots" / revision / name).symlink_to(f"../../blobs/{name}")
    library.add_root(tmp_path / "hub")

    library.scan(JobControl())

    rows = library.rows()
    size = (made / "model.safetensors").stat().st_size
    assert {row.source for row in rows} == {f"org/tuned@{'a' * 12}", f"org/tuned@{'b' * 12}"}
    assert {(row.name, row.kind, row.size_bytes) for row in rows} == {("org/tuned", "hub", size)}
    assert library.sizes().on_disk == size


def test_an_adapter_is_an_expert_of_the_base_that_it_names(
    tmp_path: Path, write_model: Make, weights: Weights, library: Library
) -> None:
    write_model(tmp_path / "d" / "base", weights(1))
    at = "base_model.model.model.layers.0.mlp.up_proj"
    parts = {
        f"{at}.lora_A.weight": np.ones((2, 24), np.float32),
        f"{at}.lora_B.weight": np.ones((24, 2), np.float32),
    }
    adapter = write_model(tmp_path / "d" / "adapter", parts)
    (adapter / "model.safetensors").rename(adapter / "adapter_model.safetensors")
    (adapter / "config.json").unlink()
    (adapter / "adapter_config.json").write_text(
        '{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["up_proj"],'
        ' "base_model_name_or_path": "org/base"}'
    )
    library.add_root(tmp_path / "d")

    row = scan(library)["adapter"]

    assert (row.kind, row.role, row.family) == ("adapter", "Expert", "base")
    assert row.state == State.READY


def test_what_was_removed_from_the_list_stays_away(models: Path, library: Library) -> None:
    row = scan(library)["first"]
    library.forget([row.id])

    assert set(scan(library)) == {"second"}
    assert (models / "first" / "model.safetensors").is_file()
    assert [one.name for one in library.remember([row.id])] == ["first"]


def test_removing_a_folder_and_adding_it_again(models: Path, library: Library) -> None:
    before = scan(library)
    library.set_role([before["first"].id], "Base")

    library.remove_root(models)
    without = library.rows()
    library.add_root(models)

    assert without == []
    assert scan(library)["first"].role == "Base"


def test_what_the_user_said_survives_a_rescan(
    models: Path, library: Library, write_model: Make, weights: Weights
) -> None:
    row = scan(library)["first"]
    library.set_role([row.id], "Expert")
    library.rename(row.id, "My model")
    library.set_tags([row.id], ["keep", " keep ", ""])
    write_model(models / "first", weights(5))

    after = scan(library)["My model"]

    assert (after.role, after.role_is_set, after.tags) == ("Expert", True, ("keep",))


def test_stop_keeps_what_was_found(models: Path, library: Library) -> None:
    control = JobControl()
    control.cancelled.set()

    with pytest.raises(CancelledError):
        library.scan(control)

    assert library.rows() == []
    assert set(scan(library)) == {"first", "second"}


def test_a_file_may_be_added_alone(models: Path, library: Library) -> None:
    library.remove_root(models)
    library.add_root(models / "first" / "model.safetensors")

    (row,) = scan(library).values()

    assert (row.kind, row.state) == ("file", State.READY)


def test_a_thousand_models_are_listed_soon(
    tmp_path: Path, write_model: Make, library: Library
) -> None:
    tensors = {
        f"model.layers.{n}.mlp.up_proj.weight": np.zeros((8, 8), np.float32) for n in range(8)
    }
    for number in range(1000):
        write_model(tmp_path / "models" / f"m{number:04}", tensors, card="license: mit")
    library.add_root(tmp_path / "models")
    first: list[float] = []
    start = time.perf_counter()

    library.scan(JobControl(), lambda _rows: first.append(time.perf_counter() - start))
    fresh = time.perf_counter() - start
    library.scan(JobControl())
    again = time.perf_counter() - start - fresh

    assert len(library.rows()) == 1000
    assert first[0] < 5 * 0.3
    assert fresh < 5 * 2.0
    assert again < fresh


def test_listing_needs_no_torch(models: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from deltaworks.library.library import Library;"
        "from deltaworks.library.home import Home;"
        "from deltaworks.progress import JobControl;"
        "library = Library(Home(Path(sys.argv[1]))); library.add_root(sys.argv[2]);"
        "library.scan(JobControl()); library.relate(JobControl());"
        "library.hash_contents(JobControl());"
        "print(len(library.rows()), {'torch', 'transformers', 'matplotlib'} & set(sys.modules))"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "other"), str(models)]

    done = subprocess.run(arguments, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "2 set()"
