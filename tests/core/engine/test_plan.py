from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deltaworks.engine import plan
from deltaworks.errors import AppError, FileError, MismatchError, OptionError, SpaceError
from deltaworks.recipes import dump_recipe

if TYPE_CHECKING:
    from tests.core.engine.conftest import MakeCompress, MakeMerge

_ALONE = """
import json, sys, time
from deltaworks.recipes import parse_recipe
from deltaworks.engine import plan
recipes = [parse_recipe(data) for data in json.loads(sys.argv[1])]
start = time.process_time()
plans = [plan(recipe) for recipe in recipes]
seconds = time.process_time() - start
print(json.dumps([[p.read_bytes for p in plans], seconds, "torch" in sys.modules]))
"""


def test_plans_need_no_torch_and_no_time(compressing: MakeCompress, merging: MakeMerge) -> None:
    recipes = [dump_recipe(compressing(["sign", "lossless"])), dump_recipe(merging("ties"))]

    done = subprocess.run(
        [sys.executable, "-c", _ALONE, json.dumps(recipes)],
        capture_output=True,
        text=True,
        check=True,
    )

    read_bytes, seconds, has_torch = json.loads(done.stdout)
    assert read_bytes == [2 * 43_328, 3 * 43_328]
    assert not has_torch
    assert seconds < 1.0


def test_a_compression_plan_has_one_item_a_tensor_and_one_output_a_setting(
    compressing: MakeCompress, tiny_expert2: Path, tiny_expert: Path
) -> None:
    recipe = compressing(["sign", "dare"], experts=[tiny_expert, tiny_expert2])

    planned = plan(recipe)

    assert len(planned.items) == 2 * 21
    assert len({item.id for item in planned.items}) == 42
    assert planned.items[0].tensor in {"lm_head.weight", "model.embed_tokens.weight"}
    names = [Path(output.path).name for output in planned.outputs]
    assert names == [
        "expert--sign.delta.safetensors",
        "expert--dare.delta.safetensors",
        "expert2--sign.delta.safetensors",
        "expert2--dare.delta.safetensors",
    ]
    assert all(0 < output.bytes_low < output.bytes_high for output in planned.outputs)
    assert planned.title == "Compress 2 experts with Sign (BitDelta, untuned), DARE"


def test_tensors_stored_exactly_are_told_with_the_reason(compressing: MakeCompress) -> None:
    notes = plan(compressing(["sign"])).notes

    assert any("5 tensors (320 B) stored exactly: norms are kept" in note for note in notes)
    assert any("embeddings are kept (model.embed_tokens.weight)" in note for note in notes)


def test_scope_all_leaves_nothing_alone(compressing: MakeCompress) -> None:
    assert plan(compressing(["sign"], scope="all")).notes == ()


def test_one_expert_and_one_setting_may_go_into_a_named_file(
    compressing: MakeCompress, tmp_path: Path
) -> None:
    target = tmp_path / "mine.safetensors"

    planned = plan(compressing(["sign"], output=target))

    assert [output.path for output in planned.outputs] == [str(target)]


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (["nonsense"], "nonsense"),
        ([{"method": "low-rank", "options": {"rnk": 3}}], "unknown option 'rnk'"),
        ([{"method": "magnitude", "options": {"density": 7}}], "option 'density' is 7"),
        (["sign", "sign"], "the same setting is given twice"),
    ],
)
def test_wrong_settings_are_refused(
    settings: list[Any], what: str, compressing: MakeCompress
) -> None:
    with pytest.raises(OptionError, match=what):
        plan(compressing(settings))


def test_several_faults_are_shown_together(compressing: MakeCompress, tmp_path: Path) -> None:
    recipe = compressing(["nonsense"], base=tmp_path / "gone", device="cuda:0")

    with pytest.raises(AppError) as caught:
        plan(recipe)

    text = str(caught.value)
    assert "nonsense" in text
    assert "gone: is not there" in text
    assert "there is no device 'cuda:0' here" in text


def test_base_and_expert_must_be_two(compressing: MakeCompress, tiny_expert: Path) -> None:
    with pytest.raises(MismatchError, match="are the same"):
        plan(compressing(base=tiny_expert))


def test_an_expert_listed_twice_is_refused(compressing: MakeCompress, tiny_expert: Path) -> None:
    with pytest.raises(OptionError, match="listed twice"):
        plan(compressing(experts=[tiny_expert, tiny_expert]))


def test_an_output_that_exists_is_refused(compressing: MakeCompress, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"mine")

    with pytest.raises(FileError, match="exists already"):
        plan(compressing(output=tmp_path / "a.safetensors"))


def test_an_output_inside_an_input_is_refused(compressing: MakeCompress, tiny_expert: Path) -> None:
    with pytest.raises(FileError, match="lies inside the input"):
        plan(compressing(output=tiny_expert / "deltas"))


def test_too_little_disk_is_told_with_numbers(
    compressing: MakeCompress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deltaworks.engine.checks._space", lambda _target: (5_000, 10**12))

    with pytest.raises(SpaceError, match=r"needs 4[0-9](\.[0-9]+)? kB, 5 kB free"):
        plan(compressing())


def test_a_nearly_full_disk_is_worth_a_note(
    compressing: MakeCompress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deltaworks.engine.checks._space", lambda _target: (10**9, 10**12))

    assert any("Leaves 1 GB free" in note for note in plan(compressing()).notes)


@pytest.mark.parametrize("kind", ["architecture", "shapes", "names"])
def test_a_base_of_another_kind_is_refused(
    kind: str, compressing: MakeCompress, tiny_tensors: Any, save_model: Any, tmp_path: Path
) -> None:
    tensors = tiny_tensors(0)
    if kind == "shapes":
        name = "model.layers.1.mlp.up_proj.weight"
        tensors[name] = tensors[name][:40].clone()
    if kind == "names":
        tensors = {f"other.{name}": value for name, value in tensors.items()}
    base = save_model(tmp_path / "base", tensors)
    if kind == "architecture":
        config = json.loads((base / "config.json").read_text())
        config["architectures"] = ["MistralForCausalLM"]
        (base / "config.json").write_text(json.dumps(config))

    with pytest.raises(MismatchError) as caught:
        plan(compressing(base=base))

    expected = {
        "architecture": "architectures is LlamaForCausalLM here, MistralForCausalLM in the base",
        "shapes": "model.layers.1.mlp.up_proj.weight: shape (48, 32) here, (40, 32) in the base",
        "names": "only 0% of its numbers have a partner in the base",
    }
    assert expected[kind] in str(caught.value)


def test_a_large_plan_takes_well_under_a_second(compressing: MakeCompress, tmp_path: Path) -> None:
    folders = [_wide_model(tmp_path / name) for name in ("base", "expert")]
    recipe = compressing(["sign", "magnitude"], base=folders[0], experts=[folders[1]])

    start = time.process_time()
    planned = plan(recipe)

    assert len(planned.items) == 3000
    assert time.process_time() - start < 1.0


def _wide_model(folder: Path) -> Path:
    """Many tiny tensors, as a mixture of experts has."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(
        {
            f"model.layers.{n // 100}.mlp.experts.{n % 100}.up_proj.weight": torch.zeros(2, 2)
            for n in range(3000)
        },
        folder / "model.safetensors",
    )
    (folder / "config.json").write_text('{"architectures": ["MixtralForCausalLM"]}')
    return folder


def test_a_merge_plan_splits_large_tensors_by_rows(
    merging: MakeMerge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deltaworks.engine.merge_plan._CHUNK", 512)

    linear, ties = plan(merging("linear")), plan(merging("ties"))

    rows = [item.rows for item in linear.items if item.tensor == "lm_head.weight"]
    assert rows == [(0, 16), (16, 32), (32, 48), (48, 64), (64, 80), (80, 96)]
    assert linear.read_bytes == 2 * 43_328
    assert ties.read_bytes == 3 * 43_328
    assert all(item.rows is None for item in ties.items)


@pytest.mark.parametrize(
    ("method", "more", "what"),
    [
        ("ties", {"base": None}, "needs a base"),
        ("slerp", {}, "takes 1 experts, 2 given"),
        ("nonsense", {}, "nonsense"),
        ("linear", {"out_dtype": "I8"}, "out_dtype is 'I8'"),
        ("linear", {"each": [{"wait": 1}]}, "unknown option 'wait'"),
    ],
)
def test_wrong_merges_are_refused(
    method: str, more: dict[str, Any], what: str, merging: MakeMerge
) -> None:
    with pytest.raises(OptionError, match=what):
        plan(merging(method, **more))


def test_a_merge_of_other_shapes_names_the_tensors(
    merging: MakeMerge, tiny_expert: Path, tiny_tensors: Any, save_model: Any, tmp_path: Path
) -> None:
    import torch

    tensors = tiny_tensors(0)
    tensors["lm_head.weight"] = torch.cat([tensors["lm_head.weight"]] * 2)
    larger = save_model(tmp_path / "larger", tensors)

    with pytest.raises(MismatchError, match=r"shape \(192, 32\) in larger, \(96, 32\) in the base"):
        plan(merging("linear", experts=[tiny_expert, larger]))
