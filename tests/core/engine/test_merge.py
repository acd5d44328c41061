from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deltaworks.checkpoints.folder import ModelCheckpoint
from deltaworks.engine import merge, merge_plan, run
from deltaworks.engine.journal import Entry
from deltaworks.engine.model_output import ModelOutput
from deltaworks.errors import NotFiniteError
from deltaworks.methods import merging_method
from deltaworks.methods.merging_record import MergeExpert, MergeInputs
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.chunks import spans
from deltaworks.progress import JobControl
from deltaworks.recipes import dump_recipe, parse_recipe

if TYPE_CHECKING:
    from tests.core.engine.conftest import MakeMerge

Load = Callable[[Path], dict[str, Any]]


@pytest.fixture
def models(
    load: Load, tiny_base: Path, tiny_expert: Path, tiny_expert2: Path
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    return load(tiny_base), load(tiny_expert), load(tiny_expert2)


def assert_close(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Float32 results agree to a few units in the last place."""
    import torch

    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.allclose(got[name].double(), value, rtol=1e-6, atol=1e-8), name


def test_linear_is_the_weighted_mean(
    merging: MakeMerge, models: Any, load: Load, tmp_path: Path
) -> None:
    _, one, two = models
    recipe = merging("linear", base=None, each=[{"weight": 1.0}, {"weight": 3.0}], out_dtype="F32")

    run(recipe, JobControl())

    wanted = {name: (one[name].double() + 3 * two[name].double()) / 4 for name in one}
    assert_close(load(tmp_path / "merged"), wanted)


def test_task_arithmetic_adds_weighted_deltas(
    merging: MakeMerge, models: Any, load: Load, tmp_path: Path
) -> None:
    base, one, two = models
    recipe = merging(
        "task-arithmetic",
        options={"scale": 0.5},
        each=[{"weight": 0.7}, {"weight": -0.2}],
        out_dtype="F32",
    )

    run(recipe, JobControl())

    wanted = {}
    for name, start in base.items():
        b, x, y = start.double(), one[name].double(), two[name].double()
        wanted[name] = b + 0.5 * (0.7 * (x - b) - 0.2 * (y - b))
    assert_close(load(tmp_path / "merged"), wanted)


@pytest.mark.parametrize("out_dtype", ["BF16", "F32"])
def test_pieces_do_not_show_in_the_result(
    merging: MakeMerge, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out_dtype: str
) -> None:
    import torch

    recipe = merging("task-arithmetic", options={"scale": 0.7}, out_dtype=out_dtype)
    run(recipe, JobControl())
    monkeypatch.setattr(merge, "spans", lambda count: spans(count, 7))

    run(recipe.model_copy(update={"output": str(tmp_path / "again")}), JobControl())

    whole, again = load(tmp_path / "merged"), load(tmp_path / "again")
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_memory_is_given_back_after_a_tensors_last_rows(
    merging: MakeMerge, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    note, release = ModelOutput.note, ModelCheckpoint.release

    def noting(output: ModelOutput, entry: Entry) -> None:
        told.append(entry.item.split("[")[0])
        note(output, entry)

    def releasing(model: ModelCheckpoint, name: str) -> None:
        told.append(f"-{name}")
        release(model, name)

    monkeypatch.setattr(ModelOutput, "note", noting)
    monkeypatch.setattr(ModelCheckpoint, "release", releasing)
    monkeypatch.setattr(merge_plan, "_CHUNK", 1000)

    run(merging("task-arithmetic"), JobControl())

    assert told.count("lm_head.weight") + told.count("model.embed_tokens.weight") > 2
    for name in models[0]:
        assert told.count(f"-{name}") == 3
        last = len(told) - told[::-1].index(name) - 1
        assert told[last + 1 : last + 4] == [f"-{name}"] * 3


@pytest.mark.parametrize("method_id", ["nuslerp", "multislerp"])
def test_a_base_that_is_given_is_what_arcs_go_around(
    merging: MakeMerge, models: Any, load: Load, tmp_path: Path, method_id: str
) -> None:
    import torch

    method = merging_method(method_id)
    each = [{"weight": 0.3}, {"weight": 0.9}]
    base, *experts = models
    own = [method.expert_options(**one) for one in each]

    for start, name in ((base, "around"), (None, "plain")):
        place = {} if start else {"base": None}
        run(merging(method_id, each=each, output=tmp_path / name, **place), JobControl())
        for key, got in load(tmp_path / name).items():
            pair = [MergeExpert(x[key], o) for x, o in zip(experts, own, strict=True)]
            spec = TensorSpec(key, tuple(got.shape))
            inputs = MergeInputs(spec, start[key] if start else None, tuple(pair))
            assert torch.equal(got, method.merge(inputs, method.options()).to(got.dtype)), key


def test_slerp_follows_the_arc(
    merging: MakeMerge, models: Any, load: Load, tiny_expert: Path, tmp_path: Path
) -> None:
    import torch

    base, one, _ = models
    recipe = merging("slerp", options={"t": 0.25}, experts=[tiny_expert], out_dtype="F32")

    run(recipe, JobControl())

    wanted = {}
    for name, start in base.items():
        a, b = start.double().flatten(), one[name].double().flatten()
        cos = float(a @ b / (a.norm() * b.norm()))
        if abs(cos) > 0.9995:
            mixed = 0.75 * a + 0.25 * b
        else:
            theta = torch.arccos(torch.tensor(cos, dtype=torch.float64))
            mixed = (torch.sin(0.75 * theta) * a + torch.sin(0.25 * theta) * b) / torch.sin(theta)
        wanted[name] = mixed.view(start.shape)
    got = load(tmp_path / "merged")
    for name, value in wanted.items():
        torch.testing.assert_close(got[name].double(), value, rtol=2e-5, atol=1e-7)


def test_ties_trims_elects_and_averages(
    merging: MakeMerge, models: Any, load: Load, tmp_path: Path
) -> None:
    import torch

    base, one, two = models
    recipe = merging("ties", each=[{"density": 1.0}, {"density": 1.0}], out_dtype="F32")

    run(recipe, JobControl())

    wanted = {}
    for name, start in base.items():
        b = start.double()
        deltas = torch.stack([model[name].float() - start.float() for model in (one, two)]).double()
        sign = torch.where(deltas.sum(0) < 0, -1.0, 1.0)
        agrees = deltas * sign > 0
        total = (deltas * agrees).sum(0)
        wanted[name] = b + total / agrees.sum(0).clamp(min=1)
    assert_close(load(tmp_path / "merged"), wanted)


@pytest.mark.parametrize("method", ["linear", "task-arithmetic", "ties"])
def test_results_do_not_depend_on_threads_chunks_or_shards(
    method: str, merging: MakeMerge, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    run(merging(method, threads=1, output=tmp_path / "a" / "m"), JobControl())
    run(merging(method, threads=4, output=tmp_path / "b" / "m"), JobControl())
    monkeypatch.setattr("deltaworks.engine.merge_plan._CHUNK", 100)
    cut = merging(method, threads=3, shard_bytes=8_000, output=tmp_path / "c" / "m")
    run(cut, JobControl())

    for path in (tmp_path / "a" / "m").iterdir():
        assert (tmp_path / "b" / "m" / path.name).read_bytes() == path.read_bytes(), path.name
    whole, pieces = load(tmp_path / "a" / "m"), load(tmp_path / "c" / "m")
    assert len(list((tmp_path / "c" / "m").glob("*.safetensors"))) > 3
    assert all(torch.equal(pieces[name], value) for name, value in whole.items())


def test_the_result_has_the_bases_dtype_files_and_a_recipe(
    merging: MakeMerge, tiny_base: Path, tmp_path: Path
) -> None:
    import torch
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run(merging("linear"), JobControl())

    merged = tmp_path / "merged"
    assert (merged / "config.json").read_bytes() == (tiny_base / "config.json").read_bytes()
    assert (merged / "tokenizer.json").read_bytes() == (tiny_base / "tokenizer.json").read_bytes()
    card = (merged / "README.md").read_text()
    assert "A merge of 2 models with" in card
    assert "# A tiny model" not in card
    recipe = json.loads((merged / "deltaworks_recipe.json").read_text())
    with safe_open(merged / "model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["deltaworks_recipe"]) == recipe
        assert file.metadata()["format"] == "pt"
    assert parse_recipe(recipe).kind == "merge"
    model = AutoModelForCausalLM.from_pretrained(merged)
    assert model.dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(merged).vocab_size == 96


def test_another_dtype_changes_the_config_too(merging: MakeMerge, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    run(merging("ties", out_dtype="F32"), JobControl())

    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert config["torch_dtype"] == "float32"
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "merged").dtype == torch.float32


def test_what_only_some_models_have_is_told(
    merging: MakeMerge,
    load: Load,
    tiny_base: Path,
    tiny_expert: Path,
    tiny_tensors: Any,
    moved: Any,
    save_model: Any,
    tmp_path: Path,
) -> None:
    import torch

    tensors = moved(tiny_tensors(0), 5)
    del tensors["model.norm.weight"]
    tensors["extra.weight"] = torch.full((3,), 2.0)
    tensors["position_ids"] = torch.arange(4)
    odd = save_model(tmp_path / "odd", tensors)

    report = run(merging("ties", experts=[odd, tiny_expert]), JobControl())

    merged, base = load(tmp_path / "merged"), load(tiny_base)
    assert torch.equal(merged["extra.weight"], torch.full((3,), 2.0))
    assert torch.equal(merged["position_ids"], torch.arange(4))
    assert torch.equal(merged["model.norm.weight"], base["model.norm.weight"])
    warnings = " ".join(report.warnings)
    assert "copied from odd: the base has none (extra.weight)" in warnings
    assert "merged without odd, which has none (model.norm.weight)" in warnings
    assert "copied from odd, as buffers are not averaged (position_ids)" in warnings


def test_integers_that_differ_are_told(
    merging: MakeMerge, load: Load, tiny_tensors: Any, save_model: Any, tmp_path: Path
) -> None:
    import torch

    folders = []
    for number in range(2):
        tensors = tiny_tensors(number)
        tensors["position_ids"] = torch.arange(4) + number
        folders.append(save_model(tmp_path / f"m{number}", tensors))

    report = run(merging("linear", base=None, experts=folders), JobControl())

    assert "position_ids: differs between the models; one was copied" in report.warnings
    assert torch.equal(load(tmp_path / "merged")["position_ids"], torch.arange(4))


def test_a_head_that_only_an_expert_has_is_kept_and_untied(
    merging: MakeMerge,
    tiny_expert: Path,
    tiny_expert2: Path,
    tiny_tensors: Any,
    save_model: Any,
    tmp_path: Path,
) -> None:
    tensors = tiny_tensors(0)
    del tensors["lm_head.weight"]
    base = save_model(tmp_path / "tied", tensors)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))

    report = run(merging("ties", base=base), JobControl())

    merged = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert merged["tie_word_embeddings"] is False
    assert "The base: lm_head.weight is its embedding, as its head is tied." in report.warnings


def test_nan_is_refused_by_name(
    merging: MakeMerge,
    tiny_expert: Path,
    tiny_tensors: Any,
    save_model: Any,
    tmp_path: Path,
) -> None:
    tensors = tiny_tensors(0)
    tensors["lm_head.weight"][5, 5] = float("inf")
    broken = save_model(tmp_path / "broken", tensors)

    with pytest.raises(NotFiniteError, match=r"lm_head\.weight"):
        run(merging("linear", experts=[tiny_expert, broken]), JobControl())

    assert not (tmp_path / "merged").exists()


def test_values_too_large_for_half_precision_are_refused(
    merging: MakeMerge, tiny_expert: Path, tiny_tensors: Any, save_model: Any, tmp_path: Path
) -> None:
    tensors = tiny_tensors(0)
    tensors["lm_head.weight"][5, 5] = 1e6
    large = save_model(tmp_path / "large", tensors)

    with pytest.raises(NotFiniteError, match=r"values up to 5e\+05 do not fit into F16"):
        run(merging("linear", experts=[tiny_expert, large], out_dtype="F16"), JobControl())


def test_memory_in_flight_stays_within_the_budget(
    merging: MakeMerge, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deltaworks.engine import merge
    from deltaworks.engine.budget import ByteBudget

    budgets: list[ByteBudget] = []

    def small(_limit: int) -> ByteBudget:
        budgets.append(ByteBudget(60_000))
        return budgets[0]

    monkeypatch.setattr(merge, "ByteBudget", small)

    run(merging("ties", threads=4), JobControl())

    assert 0 < budgets[0].peak <= 61_440  # the largest single item: embedding and head


_WITHOUT_TORCH = """
import json, sys
from deltaworks.engine import run
from deltaworks.progress import JobControl
from deltaworks.recipes import parse_recipe

for recipe in json.loads(sys.argv[1]):
    run(parse_recipe(recipe), JobControl())
    assert "torch" not in sys.modules, recipe["setting"]
"""


def test_merges_by_elements_need_no_torch(merging: MakeMerge, tmp_path: Path) -> None:
    methods = "linear task-arithmetic ties dare-ties della breadcrumbs sce model-stock karcher"
    recipes = [dump_recipe(merging(method, output=tmp_path / method)) for method in methods.split()]

    subprocess.run([sys.executable, "-c", _WITHOUT_TORCH, json.dumps(recipes)], check=True)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(methods.split())
