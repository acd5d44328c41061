"""Models that do not quite fit each other: section 8 of the merging specification."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from deltaworks.engine import plan, preflight, run
from deltaworks.errors import AppError, MismatchError, NotFiniteError, OptionError
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from tests.core.engine.conftest import MakeMerge

Load = Callable[[Path], dict[str, Tensor]]
HEAD, TABLE = "lm_head.weight", "model.embed_tokens.weight"
Q = "model.layers.{}.self_attn.q_proj.weight"


@pytest.fixture
def variant(tiny_expert: Path, load: Load, save_model: Any, tmp_path: Path) -> Callable[..., Path]:
    """Write the first expert again, with other tensors, tokens or config."""

    def make(
        name: str,
        tensors: dict[str, Tensor] | None = None,
        *,
        tokens: tuple[str, ...] = (),
        config: dict[str, Any] | None = None,
    ) -> Path:
        folder = save_model(tmp_path / name, {**load(tiny_expert), **(tensors or {})})
        path = folder / "tokenizer.json"
        document = json.loads(path.read_text())
        for token in tokens:
            document["model"]["vocab"][token] = len(document["model"]["vocab"])
        path.write_text(json.dumps(document))
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **(config or {})}))
        return Path(folder)

    return make


@pytest.fixture
def longer(variant: Callable[..., Path], tiny_expert: Path, load: Load) -> Path:
    """An expert of two more tokens."""
    more = torch.full((2, 32), 0.5).bfloat16()
    tensors = {name: torch.cat([load(tiny_expert)[name], more]) for name in (HEAD, TABLE)}
    return variant("longer", tensors, tokens=("<a>", "<b>"), config={"vocab_size": 98})


# --- vocabularies -----------------------------------------------------------------------------


def test_tokens_are_aligned_and_none_is_lost(
    merging: MakeMerge, longer: Path, tiny_expert2: Path, load: Load, tmp_path: Path
) -> None:
    recipe = merging("task-arithmetic", experts=[longer, tiny_expert2])

    report = run(recipe, JobControl())

    merged = load(tmp_path / "merged")
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    document = json.loads((tmp_path / "merged" / "tokenizer.json").read_text())
    assert merged[TABLE].shape == merged[HEAD].shape == (98, 32)
    assert config["vocab_size"] == 98
    assert {"<a>", "<b>"} <= set(document["model"]["vocab"])
    assert "The token matrices of the result have 98 rows." in report.warnings
    # Nobody else has the rows, so all start from this model's and stay there.
    assert torch.equal(merged[TABLE][96:], load(longer)[TABLE][96:])


@pytest.mark.parametrize(("how", "rows"), [("truncate", 96), ("pad", 98)])
def test_vocabularies_are_cut_or_filled_up_only_when_asked(
    how: str,
    rows: int,
    merging: MakeMerge,
    longer: Path,
    tiny_expert2: Path,
    load: Load,
    tmp_path: Path,
) -> None:
    recipe = merging("linear", experts=[longer, tiny_expert2], vocabulary=how)

    run(recipe, JobControl())

    assert load(tmp_path / "merged")[TABLE].shape[0] == rows


def test_different_vocabularies_are_refused_when_asked(
    merging: MakeMerge, longer: Path, tiny_expert2: Path
) -> None:
    recipe = merging("linear", experts=[longer, tiny_expert2], vocabulary="refuse")

    with pytest.raises(MismatchError, match="96 in the base, 98 in longer"):
        plan(recipe)

    (fault,) = [check for check in preflight(recipe) if check.subject == "vocabulary"]
    assert fault.level == "fault"


def test_rows_of_padding_stay_the_bases(
    merging: MakeMerge, longer: Path, tiny_tensors: Any, save_model: Any, load: Load, tmp_path: Path
) -> None:
    tensors = tiny_tensors(0)
    padding = torch.full((4, 32), 0.25).bfloat16()
    base = save_model(
        tmp_path / "padded",
        {**tensors, **{n: torch.cat([tensors[n], padding]) for n in (HEAD, TABLE)}},
    )

    run(merging("task-arithmetic", base=base, experts=[longer]), JobControl())

    merged = load(tmp_path / "merged")[TABLE]
    assert merged.shape[0] == 100
    assert torch.equal(merged[98:], padding[:2])


def test_moved_tokens_are_merged_with_their_own_rows(
    merging: MakeMerge, tiny_base: Path, load: Load, save_model: Any, tmp_path: Path
) -> None:
    base = load(tiny_base)
    turned = {**base, **{name: base[name].flip(0) for name in (HEAD, TABLE)}}
    folder = save_model(tmp_path / "turned", turned)
    document = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = document["model"]["vocab"]
    document["model"]["vocab"] = {token: 95 - number for token, number in vocabulary.items()}
    for entry in document["added_tokens"]:
        entry["id"] = 95 - entry["id"]
    (folder / "tokenizer.json").write_text(json.dumps(document))

    run(merging("linear", experts=[folder]), JobControl())

    assert torch.equal(load(tmp_path / "merged")[TABLE], base[TABLE])


# --- slices, patterns, prefixes -----------------------------------------------------------------


def test_layers_are_stacked_and_the_config_says_how_many(
    merging: MakeMerge, tiny_expert: Path, tiny_expert2: Path, load: Load, tmp_path: Path
) -> None:
    slices = [
        {"sources": [{"model": 0, "layers": [0, 2]}]},
        {"sources": [{"model": 1, "layers": [0, 2]}]},
    ]

    run(merging("passthrough", base=None, slices=slices), JobControl())

    merged, one, two = (load(at) for at in (tmp_path / "merged", tiny_expert, tiny_expert2))
    assert torch.equal(merged[Q.format(1)], one[Q.format(1)])
    assert torch.equal(merged[Q.format(3)], two[Q.format(1)])
    assert torch.equal(merged[HEAD], two[HEAD])
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert config["num_hidden_layers"] == 4


def test_our_own_recipes_may_vary_options_by_layer_and_name(
    merging: MakeMerge, tiny_expert: Path, tiny_expert2: Path, load: Load, tmp_path: Path
) -> None:
    each = [{"weight": [1, 0]}, {"weight": [{"filter": "mlp", "value": 1}, {"value": [0, 1]}]}]
    recipe = merging("linear", base=None, each=each, out_dtype="F32")

    run(recipe, JobControl())

    merged, one, two = (load(at) for at in (tmp_path / "merged", tiny_expert, tiny_expert2))
    assert torch.equal(merged[Q.format(0)], one[Q.format(0)].float())
    assert torch.equal(merged[Q.format(1)], two[Q.format(1)].float())
    up = "model.layers.0.mlp.up_proj.weight"
    torch.testing.assert_close(merged[up], (one[up].float() + two[up].float()) / 2)
    rows = plan(recipe.model_copy(update={"output": "x"})).parameters
    mlp = [row for row in rows if row.layer == 1 and "mlp.up_proj.weight" in row.tensors]
    assert mlp[0].each == ({"weight": 0.0}, {"weight": 1})


def test_a_leading_part_of_names_is_put_right(
    merging: MakeMerge, tiny_expert: Path, load: Load, save_model: Any, tmp_path: Path
) -> None:
    tensors = {f"language_model.{name}": value for name, value in load(tiny_expert).items()}
    folder = save_model(tmp_path / "prefixed", tensors)

    report = run(merging("task-arithmetic", experts=[folder]), JobControl())

    assert torch.equal(load(tmp_path / "merged")[Q.format(0)], load(tiny_expert)[Q.format(0)])
    assert any("without 'language_model.'" in warning for warning in report.warnings)


# --- tensors that do not fit --------------------------------------------------------------------


def test_packed_weights_are_refused_by_name(
    merging: MakeMerge, variant: Callable[..., Path]
) -> None:
    packed = variant(
        "packed",
        {"model.layers.0.mlp.up_proj.qweight": torch.zeros(4, 4, dtype=torch.int32)},
        config={"quantization_config": {"quant_method": "gptq"}},
    )

    with pytest.raises(MismatchError, match=r"packed holds packed weights \(gptq: .*qweight"):
        plan(merging("linear", experts=[packed]))


def test_other_numbers_of_heads_are_refused_by_tensor(
    merging: MakeMerge, variant: Callable[..., Path]
) -> None:
    other = variant("other", {Q.format(0): torch.zeros(16, 32).bfloat16()})

    with pytest.raises(MismatchError, match=r"shape \(16, 32\) in other, \(32, 32\) in the base"):
        plan(merging("linear", experts=[other]))


def test_other_numbers_of_layers_are_refused(
    merging: MakeMerge, variant: Callable[..., Path]
) -> None:
    deeper = variant("deeper", {Q.format(2): torch.zeros(32, 32).bfloat16()})

    with pytest.raises(MismatchError, match="layers: 2 in the base, 3 in deeper"):
        plan(merging("linear", experts=[deeper]))


def test_buffers_and_counts_are_copied_and_differences_told(
    merging: MakeMerge, variant: Callable[..., Path], load: Load, tmp_path: Path
) -> None:
    name = "model.layers.0.position_ids"
    one = variant("one", {name: torch.arange(4)})
    two = variant("two", {name: torch.arange(4) + 1})

    report = run(merging("linear", base=None, experts=[one, two]), JobControl())

    assert torch.equal(load(tmp_path / "merged")[name], torch.arange(4))
    assert any("differs between the models" in warning for warning in report.warnings)


@pytest.mark.parametrize("method", ["linear", "ties", "slerp", "model-stock", "karcher"])
@pytest.mark.parametrize("numerics", ["app-fp32", "mergekit-0.1.5"])
def test_nan_is_refused_with_the_tensors_name(
    method: str, numerics: str, merging: MakeMerge, variant: Callable[..., Path], tiny_expert2: Path
) -> None:
    name = Q.format(1)
    broken = variant("broken", {name: torch.full((32, 32), float("nan")).bfloat16()})
    experts = [broken] if method == "slerp" else [broken, tiny_expert2]
    each = [{"weight": 1.0}] * 2 if method in {"linear", "ties"} else ()
    options = {"t": 0.5} if method == "slerp" else {}
    recipe = merging(method, experts=experts, each=each, options=options, numerics=numerics)

    with pytest.raises(NotFiniteError) as caught:
        run(recipe, JobControl())

    assert caught.value.where == name


@pytest.mark.parametrize("method", ["linear", "task-arithmetic", "ties", "slerp", "sce", "ram"])
def test_experts_that_are_the_base_give_the_base(
    method: str, merging: MakeMerge, tiny_base: Path, load: Load, tmp_path: Path
) -> None:
    twin = Path(shutil.copytree(tiny_base, tmp_path / "twin"))

    run(merging(method, experts=[twin]), JobControl())

    merged = load(tmp_path / "merged")
    assert all(torch.equal(merged[name], value) for name, value in load(tiny_base).items())


def test_scalars_empty_and_single_tensors_pass(
    merging: MakeMerge, variant: Callable[..., Path], load: Load, tmp_path: Path
) -> None:
    odd = {
        "scale": torch.tensor(2.0).bfloat16(),
        "nothing": torch.zeros(0, 4).bfloat16(),
        "one": torch.ones(1).bfloat16(),
    }
    experts = [variant("one", odd), variant("two", odd)]
    base = variant("start", {name: value * 0 for name, value in odd.items()})

    for method in ("linear", "ties", "model-stock"):
        run(merging(method, base=base, experts=experts, output=tmp_path / method), JobControl())
        merged = load(tmp_path / method)
        assert merged["scale"].shape == ()
        assert merged["nothing"].shape == (0, 4)
        assert merged["one"].item() == 1.0


# --- adapters and files ---------------------------------------------------------------------------


def test_an_adapter_over_a_model_is_an_expert(
    merging: MakeMerge, tiny_base: Path, load: Load, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    at = "base_model.model." + Q.format(0).removesuffix(".weight")
    a, b = torch.randn(2, 32) * 0.1, torch.randn(32, 2) * 0.1
    folder = tmp_path / "adapter"
    folder.mkdir()
    save_file(
        {f"{at}.lora_A.weight": a, f"{at}.lora_B.weight": b}, folder / "adapter_model.safetensors"
    )
    (folder / "adapter_config.json").write_text(
        json.dumps(
            {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "else"}
        )
    )
    recipe = merging("task-arithmetic", experts=[tiny_base], out_dtype="F32")
    model = recipe.experts[0].model.model_copy(update={"adapter": str(folder)})
    recipe = recipe.model_copy(
        update={"experts": (recipe.experts[0].model_copy(update={"model": model}),)}
    )

    checks = plan(recipe).checks
    run(recipe, JobControl())

    merged, base = load(tmp_path / "merged"), load(tiny_base)
    wanted = (base[Q.format(0)].double() + 2.0 * (b.double() @ a.double())).bfloat16()
    assert torch.equal(merged[Q.format(0)], wanted.float())
    assert torch.equal(merged[HEAD], base[HEAD].float())
    assert any("was trained on 'else'" in check.text for check in checks)


def test_the_card_joins_licences_and_names_the_inputs(
    merging: MakeMerge, variant: Callable[..., Path], tiny_expert2: Path, tmp_path: Path
) -> None:
    one, two = variant("one"), variant("two")
    (one / "README.md").write_text("---\nlicense: mit\nlanguage: en\n---\n# One\n")
    (two / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: en\n---\n# Two\n")

    report = run(merging("linear", base=None, experts=[one, two]), JobControl())

    card = (tmp_path / "merged" / "README.md").read_text()
    front = card.split("---")[1]
    assert "license: other" in front
    assert "language: en" in front
    assert "- one" in front
    assert "| one | expert |" in card
    assert any("Licences differ (one: mit, two: apache-2.0)" in n for n in report.results["notes"])


def test_the_chat_template_most_models_have_is_taken(
    merging: MakeMerge, variant: Callable[..., Path], tmp_path: Path
) -> None:
    experts = [variant(name) for name in ("one", "two", "three")]
    for folder, template in zip(experts, ("{{ a }}", "{{ b }}", "{{ b }}"), strict=True):
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))

    told = run(merging("linear", base=None, experts=experts), JobControl()).results["notes"]
    chosen = merging(
        "linear", base=None, experts=experts, output=tmp_path / "auto", chat_template="auto"
    )
    run(chosen, JobControl())

    def written(name: str) -> str:
        settings = json.loads((tmp_path / name / "tokenizer_config.json").read_text())
        return str(settings["chat_template"])

    assert (written("merged"), written("auto")) == ("{{ a }}", "{{ b }}")
    assert any("Chat templates differ: two, three have another" in note for note in told)


def test_checks_tell_what_fits(merging: MakeMerge, tiny_base: Path) -> None:
    checks = preflight(merging("ties"))

    assert {check.level for check in checks} == {"ok"}
    assert {check.subject for check in checks} == {
        *("families", "tensors", "dtypes", "vocabulary", "tokenizers", "heads")
    }


def test_faults_are_checks_too(merging: MakeMerge, tmp_path: Path) -> None:
    checks = preflight(merging("ties", base=tmp_path / "gone", options={"t": 1}))

    assert [check.level for check in checks] == ["fault", "fault"]
    assert any("unknown option 't'" in check.text for check in checks)
    with pytest.raises(AppError):
        plan(merging("ties", base=tmp_path / "gone"))


def test_a_mergekit_recipe_needs_its_weights(merging: MakeMerge) -> None:
    with pytest.raises(OptionError, match="'weight' of expert has no value"):
        plan(merging("ties", numerics="mergekit-0.1.5"))
