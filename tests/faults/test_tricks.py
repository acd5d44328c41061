"""Files made to lead astray: links, bombs, patterns without an end, programs in documents."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from zstandard import ZstdCompressor

from deltaworks.checkpoints import ModelWriter, TensorInfo, open_checkpoint
from deltaworks.checkpoints.delta_manifest import unpack_blob
from deltaworks.checkpoints.delta_writer import DeltaWriter
from deltaworks.errors import AppError, FileError, OptionError
from deltaworks.recipes import load_recipe

INDEX = "model.safetensors.index.json"


def index_over(folder: Path, name: str) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))


@pytest.mark.parametrize("inside", [True, False])
def test_an_index_does_not_lead_out_of_its_folder_by_a_link(tmp_path: Path, inside: bool) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    place = folder if inside else tmp_path
    save_file({"a": torch.ones(2)}, place / "true.safetensors")
    (folder / "x.safetensors").symlink_to(place / "true.safetensors")
    index_over(folder, "x.safetensors")

    if inside:
        open_checkpoint(folder).close()
    else:
        with pytest.raises(FileError, match=r"names x\.safetensors, a link that leads out"):
            open_checkpoint(folder)


def test_links_into_the_blobs_of_a_cache_are_what_they_are_for(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0"
    blobs = tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    save_file({"a": torch.ones(2)}, blobs / "0123")
    (snapshot / "x.safetensors").symlink_to(Path("../../blobs/0123"))
    index_over(snapshot, "x.safetensors")

    with open_checkpoint(snapshot) as model:
        assert model.names == ("a",)


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(a|a)*b", ".*.*.*.*.*x", r"(\w+)\1x", "a" * 600, "(x+x+)+y", "(.{1,9}){1,9}x"],
)
def test_a_pattern_without_an_end_is_refused_at_once(
    tiny_base: Path, tmp_path: Path, pattern: str
) -> None:
    at = "base_model.model.model.layers.0.self_attn.q_proj"
    save_file(
        {f"{at}.lora_A.weight": torch.ones(2, 32), f"{at}.lora_B.weight": torch.ones(32, 2)},
        tmp_path / "adapter_model.safetensors",
    )
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "rank_pattern": {pattern: 2}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    started = time.thread_time()

    with pytest.raises(FileError, match="could take hours to match"):
        open_checkpoint(tmp_path, base=tiny_base)

    assert time.thread_time() - started < 1.0


@pytest.mark.parametrize(
    "pattern", ["q_proj", r".*layers\.(0|1)\..*q_proj", "^model.layers.[0-9]+"]
)
def test_patterns_that_people_write_are_read(tiny_base: Path, tmp_path: Path, pattern: str) -> None:
    at = "base_model.model.model.layers.0.self_attn.q_proj"
    save_file(
        {f"{at}.lora_A.weight": torch.ones(2, 32), f"{at}.lora_B.weight": torch.ones(32, 2)},
        tmp_path / "adapter_model.safetensors",
    )
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "alpha_pattern": {pattern: 4}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))

    with open_checkpoint(tmp_path, base=tiny_base) as model:
        assert model.read_words("model.layers.0.self_attn.q_proj.weight").size


def test_a_bomb_in_a_delta_file_is_not_unpacked() -> None:
    bomb = ZstdCompressor(level=3).compress(bytes(90_000_000))

    with pytest.raises(FileError, match=r"bytes unpack to 90,000,000, more than any text does"):
        unpack_blob(bomb, "d (tokenizer.json)")


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
YAML = {
    "bomb": (f"kind: merge\n{BOMB}", OptionError, "over 100,000 entries"),
    "circle": ("kind: merge\nexperts: &a [*a]\noutput: x\n", OptionError, "levels deep"),
    "program": ("kind: !!python/object/apply:os.mkdir [it-ran]\n", FileError, "neither JSON nor"),
    "no date": ("kind: merge\nnote: 2001-99-99\n", FileError, "neither JSON nor YAML"),
    "deep": ("[" * 5000, FileError, "neither JSON nor YAML"),
    "list for a kind": ("kind: [merge]\n", OptionError, "kind is"),
    "nul": ('{"kind": "merge", "output": "a\\0b"}', OptionError, "NUL"),
    "bomb of mergekit": (
        f"merge_method: linear\n{BOMB}models: *a11\n",
        OptionError,
        "over 100,000 entries",
    ),
}


@pytest.mark.parametrize(("text", "kind", "words"), YAML.values(), ids=YAML.keys())
def test_a_document_that_is_a_trap_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, kind: type[AppError], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yml").write_text(text)
    started = time.thread_time()

    with pytest.raises(kind, match=words):
        load_recipe(tmp_path / "r.yml", output="out")

    assert time.thread_time() - started < 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["r.yml"]


def test_a_text_from_a_file_cannot_fill_or_forge_the_screen() -> None:
    error = AppError("x" * 100_000, where="a\nb\x1b[2J\u202e")

    assert len(str(error)) < 1500
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)
    assert "\u202e" not in str(error)


# --- what a later run would go on from --------------------------------------------------

INFOS = [TensorInfo("t", (1000,), "U8")]


@pytest.mark.parametrize("link", ["folder", "file", "hard link"])
def test_nothing_is_written_through_a_link_that_took_the_place_of_a_rest(
    tmp_path: Path, link: str
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "model.safetensors").write_bytes(b"precious")
    (mine / "notes.txt").write_text("precious")
    partial = tmp_path / "m.partial-1"
    if link == "folder":
        partial.symlink_to(mine)
    else:
        partial.mkdir()
        inside = partial / "model.safetensors"
        if link == "file":
            inside.symlink_to(mine / "model.safetensors")
        else:
            os.link(mine / "model.safetensors", inside)

    with pytest.raises(FileError, match="is a link to another file"):
        ModelWriter(tmp_path / "m", INFOS, job_id="1", goes_on=True)

    assert (mine / "model.safetensors").read_bytes() == b"precious"
    assert (mine / "notes.txt").read_text() == "precious"


def test_no_delta_is_written_through_a_link(tmp_path: Path, tiny_base: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"precious")
    (tmp_path / "d.safetensors.partial-1").symlink_to(mine)
    more: dict[str, Any] = {"method": "sign", "options": {}, "seed": 0, "recipe": {}}

    with (
        open_checkpoint(tiny_base) as model,
        pytest.raises(FileError, match="is a link to another file"),
    ):
        DeltaWriter(
            tmp_path / "d.safetensors", base=model, expert=model, job_id="1", goes_on=True, **more
        )

    assert mine.read_bytes() == b"precious"


def test_an_output_inside_an_input_is_refused_through_a_link_as_well(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    from deltaworks.recipes import parse_recipe
    from deltaworks.studies.jobs import plan_job

    base = shutil.copytree(tiny_base, tmp_path / "base")
    (tmp_path / "elsewhere").symlink_to(base)
    recipe = parse_recipe(
        {
            "kind": "merge",
            "experts": [{"model": {"path": str(base)}}, {"model": {"path": str(tiny_expert)}}],
            "setting": {"method": "linear"},
            "output": str(tmp_path / "elsewhere" / "out"),
        }
    )

    with pytest.raises(FileError, match="lies inside the input"):
        plan_job(recipe)
