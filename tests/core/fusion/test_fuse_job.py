"""The job: what is merged, what is copied, what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine.reports import Report
from deltaworks.errors import AppError, CancelledError, MismatchError, OptionError
from deltaworks.progress import Event, JobControl, Progress
from deltaworks.recipes import parse_recipe
from deltaworks.studies.jobs import plan_job, run_job

Fuse = Callable[..., Report]
Tensors = Callable[[Path], dict[str, Any]]
EMBEDDING = "language_model.model.embed_tokens.weight"


def changed(source: Path, to: Path, **config: Any) -> Path:
    shutil.copytree(source, to)
    held = json.loads((to / "config.json").read_text())
    held |= config
    (to / "config.json").write_text(json.dumps(held))
    return to


def test_towers_and_projectors_are_byte_for_byte_their_sources(kin: Any, fused: Path) -> None:
    pairs = {"vision": "vision_tower", "projector": "multi_modal_projector"}
    count = 0
    with open_checkpoint(fused) as result:
        for label in ("a", "b"):
            with open_checkpoint(getattr(kin, label)) as source:
                for name in result.names:
                    if not name.startswith(f"towers.{label}."):
                        continue
                    _, _, part, rest = name.split(".", 3)
                    theirs = source.read_words(f"{pairs[part]}.{rest}")
                    assert np.array_equal(result.read_words(name), theirs)
                    count += 1
    assert count == 2 * 43


def test_every_tensor_of_the_language_model_is_merged(
    kin: Any, fused: Path, tensors: Tensors
) -> None:
    base, a, b, result = map(tensors, (kin.base, kin.a, kin.b, fused))
    for name, value in base.items():
        start = value.float()
        ours = [one[f"language_model.{name}"][: len(value)].float() for one in (a, b)]
        wanted = start + 0.5 * (ours[0] - start) + 0.5 * (ours[1] - start)
        found = result[f"language_model.{name}"][: len(value)]
        assert found.dtype == value.dtype
        assert torch.allclose(found.float(), wanted, rtol=2**-8, atol=1e-7), name
        assert not torch.equal(found, value), name


def test_one_number_by_hand(kin: Any, fuse: Fuse, tensors: Tensors, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folders = []
    for source, number in ((kin.base, 1.0), (kin.a, 1.4), (kin.b, 0.8)):
        folder = changed(source, tmp_path / source.name)
        held = {n: t.float() for n, t in load_file(folder / "model.safetensors").items()}
        for name in held:
            if name.endswith("model.norm.weight"):
                held[name] = torch.full_like(held[name], number)
        save_file(held, folder / "model.safetensors", metadata={"format": "pt"})
        folders.append(folder)

    fuse(folders[0], folders[1:], tmp_path / "out")

    found = tensors(tmp_path / "out")["language_model.model.norm.weight"]
    assert torch.allclose(found, torch.tensor(1.1))


def test_tokens_that_the_base_lacks_are_copied_from_their_first_owner(
    kin: Any, fused: Path, tensors: Tensors
) -> None:
    a, b, result = map(tensors, (kin.a, kin.b, fused))
    config = json.loads((fused / "config.json").read_text())
    tokens = json.loads((fused / "tokenizer.json").read_text())["added_tokens"]

    for name in (EMBEDDING, "language_model.lm_head.weight"):
        assert result[name].shape[0] == 98
        assert torch.equal(result[name][96], a[name][96].to(result[name].dtype))  # <image>
        assert torch.equal(result[name][97], b[name][96].to(result[name].dtype))  # <picture>
    assert config["text_config"]["vocab_size"] == 98
    assert (config["image_token_index"], config["image_token"]) == (96, "<image>")
    assert {one["content"]: one["id"] for one in tokens}["<picture>"] == 97


def test_the_folder_is_what_the_specification_says(kin: Any, fused: Path) -> None:
    config = json.loads((fused / "config.json").read_text())

    assert config["model_type"] == "visionfuse_llava"
    assert "auto_map" not in config
    assert config["token_order"] == ["b", "a"], "fewest tokens first"
    assert [tower["image_seq_length"] for tower in config["towers"]] == [4, 9]
    assert config["merge"] == {
        "base": kin.base.name,
        "lambdas": {"a": 0.5, "b": 0.5},
        "operator": "task-arithmetic",
    }
    for label in ("a", "b"):
        own = json.loads((fused / "processors" / label / "preprocessor_config.json").read_text())
        theirs = json.loads((getattr(kin, label) / "preprocessor_config.json").read_text())
        assert own == theirs


def test_pairs_of_model_and_weight_may_be_listed_in_any_order(
    kin: Any, fuse: Fuse, tensors: Tensors, tmp_path: Path
) -> None:
    first = fuse(kin.base, [kin.a, kin.b], tmp_path / "ab", (0.3, 0.6))
    fuse(kin.base, [kin.b, kin.a], tmp_path / "ba", (0.6, 0.3))

    ab, ba = tensors(tmp_path / "ab"), tensors(tmp_path / "ba")
    assert all(torch.equal(ab[name][:96], ba[name][:96]) for name in ab)
    assert first.results["fusion"]["weights"] == [0.3, 0.6]


def test_identical_models_stay_what_they_are(
    kin: Any, fuse: Fuse, tensors: Tensors, tmp_path: Path
) -> None:
    twin = changed(kin.a, tmp_path / "twin")
    report = fuse(kin.base, [kin.a, twin], tmp_path / "out", out_dtype="F32")

    source, result = tensors(kin.a), tensors(tmp_path / "out")
    for name in source:
        if name.startswith("language_model."):
            assert torch.allclose(result[name], source[name], atol=1e-6), name
    assert report.results["fusion"]["family"]["cosines"][0][1] == pytest.approx(1.0)


def test_any_merging_method_may_take_the_place_of_task_arithmetic(
    kin: Any, fuse: Fuse, tensors: Tensors, tmp_path: Path
) -> None:
    setting = {"method": "ties", "options": {"density": 0.3}}
    fuse(kin.base, [kin.a, kin.b], tmp_path / "out", setting=setting)

    plain, other = tensors(kin.base), tensors(tmp_path / "out")
    name = "model.layers.0.mlp.up_proj.weight"
    same = plain[name] == other[f"language_model.{name}"]
    assert 0.3 < same.float().mean() < 0.8, "TIES leaves many numbers of the base"
    with open_checkpoint(tmp_path / "out") as opened:
        assert opened.config["merge"]["operator"] == "ties"


def test_the_family_is_measured_and_a_far_model_is_warned_of(
    kin: Any, fuse: Fuse, tmp_path: Path
) -> None:
    report = fuse(kin.base, [kin.a, kin.b], tmp_path / "out", options={"largest_norm": 0.01})
    family = report.results["fusion"]["family"]

    assert family["labels"] == ["A", "B"]
    assert all(0.01 < norm < 0.3 for norm in family["norms"])
    assert abs(family["cosines"][0][1]) < 0.05
    assert len(family["layers"]) == 2
    assert len(report.warnings) == 2
    assert "A differs from the base" in report.warnings[0]


def test_the_plan_counts_what_it_costs_and_is_the_size_that_is_written(
    kin: Any, fused: Path
) -> None:
    recipe = parse_recipe(
        {
            "kind": "fuse",
            "base": {"path": str(kin.base)},
            "models": [{"model": {"path": str(kin.a)}}, {"model": {"path": str(kin.b)}}],
            "output": str(fused.with_name("other")),
        }
    )
    plan = plan_job(recipe)
    (output,) = plan.outputs
    written = sum(path.stat().st_size for path in fused.rglob("*") if path.is_file())

    assert output.bytes_low <= written <= output.bytes_high
    assert any("A picture takes 13 tokens: 4 (B) + 9 (A)" in note for note in plan.notes)
    assert any("2 tokens that the base lacks are copied" in note for note in plan.notes)


# --- refusals -------------------------------------------------------------------------------


def text_of(config: Path, **changes: Any) -> dict[str, Any]:
    text: dict[str, Any] = json.loads((config / "config.json").read_text())["text_config"]
    return text | changes


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "llava_next"}, "unsupported: model type 'llava_next'"),
        ({"mm_vision_tower": "openai/clip"}, "original form, with the tower openai/clip elsewhere"),
        (
            {"vision_config": {"model_type": "pixtral"}},
            "unsupported: vision tower 'pixtral'",
        ),
        ({"vision_feature_select_strategy": "last"}, "vision_feature_select_strategy 'last'"),
    ],
)
def test_models_that_cannot_be_run_are_refused(
    kin: Any, fuse: Fuse, tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    odd = changed(kin.b, tmp_path / "odd", **config)

    with pytest.raises(MismatchError, match=message):
        fuse(kin.base, [kin.a, odd], tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_the_first_difference_between_language_models_is_named(
    kin: Any, fuse: Fuse, tmp_path: Path
) -> None:
    odd = changed(kin.b, tmp_path / "odd", text_config=text_of(kin.b, hidden_act="gelu"))

    base = changed(kin.base, tmp_path / "base", hidden_act="silu")

    with pytest.raises(MismatchError, match="hidden_act is gelu here, silu in the base"):
        fuse(base, [kin.a, odd], tmp_path / "out")


def test_a_model_without_a_token_of_the_base_is_refused(
    kin: Any, fuse: Fuse, tmp_path: Path
) -> None:
    odd = changed(kin.b, tmp_path / "odd")
    document = json.loads((odd / "tokenizer.json").read_text())
    document["model"]["vocab"]["@@"] = document["model"]["vocab"].pop("q")
    (odd / "tokenizer.json").write_text(json.dumps(document))

    with pytest.raises(MismatchError, match="odd lacks token 'q' of the base"):
        fuse(kin.base, [kin.a, odd], tmp_path / "out")


def test_a_model_without_a_processor_is_refused(kin: Any, fuse: Fuse, tmp_path: Path) -> None:
    odd = changed(kin.b, tmp_path / "odd")
    (odd / "preprocessor_config.json").unlink()

    with pytest.raises(MismatchError, match=r"no preprocessor_config\.json"):
        fuse(kin.base, [kin.a, odd], tmp_path / "out")


def test_tensors_of_no_known_part_are_refused_by_name(kin: Any, fuse: Fuse, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    odd = changed(kin.b, tmp_path / "odd")
    held = load_file(odd / "model.safetensors") | {"image_newline": torch.zeros(4)}
    save_file(held, odd / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(MismatchError, match="image_newline"):
        fuse(kin.base, [kin.a, odd], tmp_path / "out")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"setting": {"method": "regmean"}}, "needs texts"),
        ({"setting": {"method": "emr"}}, "a model for each expert"),
        ({"setting": {"method": "mystery"}}, "unknown merging method 'mystery'"),
        ({"options": {"order": "random"}}, "order"),
        ({"out_dtype": "F8"}, "out_dtype is 'F8'"),
    ],
)
def test_options_that_make_no_fusion_are_refused(
    kin: Any, fuse: Fuse, tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        fuse(kin.base, [kin.a, kin.b], tmp_path / "out", **more)


def test_several_faults_are_told_together(kin: Any, fuse: Fuse, tmp_path: Path) -> None:
    odd = changed(kin.b, tmp_path / "odd", model_type="llava_next")

    with pytest.raises(AppError, match=r"llava_next(.|\n)*listed twice|listed twice(.|\n)*"):
        fuse(kin.base, [odd, kin.a, kin.a], tmp_path / "out")


# --- stopping -------------------------------------------------------------------------------


_KILLED = """
import json, os, sys
from deltaworks.progress import JobControl, Progress
from deltaworks.recipes import parse_recipe
from deltaworks.studies.jobs import run_job

def report(event):
    if isinstance(event, Progress) and event.total and event.done > 0.7 * event.total:
        os._exit(9)

run_job(parse_recipe(json.loads(sys.argv[1])), JobControl(report=report))
"""


@pytest.mark.slow
def test_a_killed_fusion_goes_on_and_has_the_same_bytes(
    kin: Any, fused: Path, tmp_path: Path
) -> None:
    document = {
        "kind": "fuse",
        "base": {"path": str(kin.base)},
        "models": [{"model": {"path": str(kin.a)}}, {"model": {"path": str(kin.b)}}],
        "output": str(tmp_path / fused.name),
        "threads": 1,
    }
    words = [sys.executable, "-c", _KILLED, json.dumps(document)]
    killed = subprocess.run(words, capture_output=True, check=False)
    assert killed.returncode == 9
    assert any(".partial-" in path.name for path in tmp_path.iterdir())

    run_job(parse_recipe(document), JobControl(), resume=True)

    again, first = (
        {path.relative_to(one): path.read_bytes() for path in one.rglob("*") if path.is_file()}
        for one in (tmp_path / fused.name, fused)
    )
    assert again == first
    assert [path.name for path in tmp_path.iterdir()] == [fused.name]


def test_a_stopped_fusion_leaves_nothing(kin: Any, tmp_path: Path) -> None:
    control = JobControl()

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.stage.startswith("tensors"):
            control.cancelled.set()

    control.report = stop
    recipe = parse_recipe(
        {
            "kind": "fuse",
            "base": {"path": str(kin.base)},
            "models": [{"model": {"path": str(kin.a)}}, {"model": {"path": str(kin.b)}}],
            "output": str(tmp_path / "out"),
        }
    )
    with pytest.raises(CancelledError):
        run_job(recipe, control)
    assert list(tmp_path.iterdir()) == []
