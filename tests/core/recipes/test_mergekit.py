from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deltaworks.errors import OptionError
from deltaworks.methods import merging_method
from deltaworks.options import read_options
from deltaworks.recipes import from_mergekit, load_recipe
from deltaworks.recipes.schema import MergeRecipe

TIES = """
merge_method: ties
base_model: /m/base
models:
  - model: /m/base
  - model: /m/a
    parameters: {weight: 0.3, density: 0.6}
  - model: /m/b
    parameters: {weight: 0.7}
parameters: {normalize: true, int8_mask: true, density: 0.5}
dtype: float32
out_dtype: bfloat16
"""


def read(text: str) -> MergeRecipe:
    return from_mergekit(yaml.safe_load(text), output="/out")


def changed(**fields: Any) -> dict[str, Any]:
    data = yaml.safe_load(TIES)
    data.update(fields)
    return {name: value for name, value in data.items() if value is not None}


def test_a_ties_file_becomes_a_merge_recipe() -> None:
    recipe = read(TIES)

    assert recipe.base is not None
    assert recipe.base.path == "/m/base"
    assert [expert.model.path for expert in recipe.experts] == ["/m/a", "/m/b"]
    assert recipe.experts[0].options == {"weight": 0.3, "density": 0.6}
    assert recipe.experts[1].options == {"weight": 0.7, "density": 0.5}
    assert recipe.setting.method == "ties"
    assert recipe.setting.options["normalize"] is True
    assert recipe.out_dtype == "BF16"
    assert recipe.output == "/out"
    assert "int8_mask" in recipe.note


@pytest.mark.parametrize(
    "text",
    [
        TIES,
        "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: 1}}\n"
        "- {model: b, parameters: {weight: 3}}\nparameters: {normalize: false}",
        "merge_method: task_arithmetic\nbase_model: o\nparameters: {lambda: 0.5}\n"
        "models:\n- {model: a, parameters: {weight: 1}}",
        "merge_method: slerp\nbase_model: a\nparameters: {t: 0.25}\n"
        "models:\n- {model: a}\n- {model: b}",
    ],
)
def test_the_options_are_those_of_our_methods(text: str) -> None:
    recipe = read(text)
    method = merging_method(recipe.setting.method)

    read_options(method.options, recipe.setting.options, where="method")
    for expert in recipe.experts:
        read_options(method.expert_options, expert.options, where="expert")

    assert len(recipe.experts) >= method.needs.min_experts


TWO = "models:\n- {model: a, parameters: {weight: 1}}\n- {model: b, parameters: {weight: 3}}\n"
BARE = "models:\n- {model: a}\n- {model: b}\n"
BASE = "base_model: o\n"
GTA = {"normalize": False, "rescale": False, "scale": 1.0}


@pytest.mark.parametrize(
    ("name", "models", "options", "own"),
    [
        ("dare_linear", BASE + TWO, GTA | {"rescale": "l1"}, {"density": 1.0}),
        ("dare_ties", BASE + TWO, GTA | {"rescale": "l1"}, {"density": 1.0}),
        ("breadcrumbs", BASE + TWO, GTA, {"density": 1.0, "gamma": 0.01}),
        ("breadcrumbs_ties", BASE + TWO, GTA, {"density": 1.0, "gamma": 0.01}),
        (
            "della",
            BASE + TWO,
            GTA | {"normalize": True, "rescale": True},
            {"density": 1.0, "epsilon": 0.15},
        ),
        ("della_linear", BASE + TWO, GTA | {"rescale": True}, {"density": 1.0, "epsilon": 0.15}),
        ("ties", BASE + TWO, GTA | {"normalize": True}, {"density": 1.0}),
        ("sce", BASE + BARE, {"select_topk": 1.0}, None),
        ("ram", BASE + BARE, {"epsilon": 1e-5}, None),
        ("ramplus_tl", BASE + BARE, {"epsilon": 1e-5, "r": 0.1, "alpha": 0.2}, None),
        ("model_stock", BASE + BARE, {"filter_wise": False}, None),
        ("nuslerp", TWO, {"vectors": "tensor"}, {}),
        ("multislerp", TWO, {"normalize": True}, {}),
        ("karcher", BARE, {"max_iter": 10, "tol": 1e-5}, None),
        ("arcee_fusion", "base_model: a\n" + BARE, {}, None),
    ],
)
def test_every_method_comes_with_its_defaults(
    name: str, models: str, options: dict[str, Any], own: dict[str, Any] | None
) -> None:
    recipe = read(f"merge_method: {name}\n{models}")

    method = merging_method(name.replace("_", "-"))
    assert recipe.setting.method == method.id
    assert recipe.setting.options == options
    read_options(method.options, recipe.setting.options, where="method")
    for expert in recipe.experts:
        assert {k: v for k, v in expert.options.items() if k != "weight"} == (own or {})
        assert ("weight" in expert.options) == (own is not None)
        read_options(method.expert_options, expert.options, where="expert")
    assert ("random choices" in recipe.note) == method.is_random


def test_flags_of_mergekit_become_our_choices() -> None:
    found = [
        read(f"merge_method: {name}\n{models}parameters: {{{flags}}}").setting.options
        for name, models, flags in (
            ("nuslerp", TWO, "nuslerp_flatten: false"),
            ("nuslerp", TWO, "nuslerp_flatten: false, nuslerp_row_wise: true"),
            ("dare_ties", BASE + TWO, "rescale: false"),
            ("nearswap", "base_model: a\n" + BARE, "t: 0.01"),
        )
    ]

    assert [options.get("vectors") for options in found] == ["rows", "columns", None, None]
    assert found[2]["rescale"] == "none"
    assert found[3] == {"t": 0.01}
    with pytest.raises(OptionError, match="is 'l1', not true or false"):
        read(f"merge_method: dare_ties\n{BASE}{TWO}parameters: {{rescale: l1}}")


@pytest.mark.parametrize("name", ["nuslerp", "multislerp"])
def test_arcs_go_around_a_base_where_one_is_named(name: str) -> None:
    recipe = read(f"merge_method: {name}\n{BASE}{TWO}")

    assert recipe.base is not None
    assert recipe.base.path == "o"
    assert [expert.model.path for expert in recipe.experts] == ["a", "b"]
    assert read(f"merge_method: {name}\n{TWO}").base is None


def test_a_base_that_counts_like_any_model_is_the_last_of_them() -> None:
    recipe = read(f"merge_method: karcher\n{BASE}{BARE}")

    assert [expert.model.path for expert in recipe.experts] == ["a", "b", "o"]
    assert len(read(f"merge_method: karcher\nbase_model: a\n{BARE}").experts) == 2


def test_defaults_are_those_of_mergekit() -> None:
    recipe = read(
        "merge_method: ties\nbase_model: o\nmodels:\n- {model: a, parameters: {weight: 1}}"
    )

    assert recipe.experts[0].options["density"] == 1.0
    assert recipe.setting.options["normalize"] is True


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"slices": [{}]}, "exactly one of models, slices, modules"),
        ({"models": None, "slices": [{}]}, "has no field 'sources'"),
        ({"models": None, "slices": [{"sources": [{"model": "a"}]}]}, "layer_range is None"),
        ({"models": None, "modules": {"default": {}}}, "either models or slices"),
        ({"tokenizer_source": "union", "tokenizer": {}}, "tokenizer_source and tokenizer"),
        ({"tokenizer": {"pad": 1}}, "tokenizer: unknown field 'pad'"),
        ({"tokenizer": {"tokens": {"x": {"source": {"kind": "one"}}}}}, "kind is 'one'"),
        ({"chat_template": 3}, "chat_template is 3"),
        ({"surprise": 1}, "unknown field 'surprise'"),
        ({"merge_method": "stock"}, "merge_method 'stock' is not known"),
        ({"parameters": {"lambda": []}}, "parameters.lambda.* is an empty list"),
        ({"parameters": {"lambda": [0, None]}}, "None is not a number"),
        ({"parameters": {"density": [{"filter": "mlp"}]}}, "field 'value' is missing"),
        ({"parameters": {"density": [{"filter": "mlp", "value": 1}, 2]}}, "among filters"),
        ({"dtype": "int4"}, "dtype is 'int4'"),
        ({"base_model": None}, "needs a base_model"),
        ({"base_model": "/m/base+/m/lora+/m/lora"}, "not a model and one adapter"),
        ({"base_model": {"model": "x", "override_architecture": "y"}}, "override_architecture"),
        ({"models": [{"model": "/m/a"}]}, "model '/m/a': parameter 'weight' is missing"),
        ({"models": [{"model": "/m/a", "weight": 1}]}, r"models\[0\]: unknown field 'weight'"),
        ({"models": []}, "'models' must be a list"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(fields: dict[str, Any], what: str) -> None:
    with pytest.raises(OptionError, match=what):
        from_mergekit(changed(**fields), output="/out")


def test_a_model_listed_twice_is_refused() -> None:
    entry = {"model": "/m/a", "parameters": {"weight": 1}}

    with pytest.raises(OptionError, match="'/m/a' is listed twice"):
        from_mergekit(changed(models=[entry, entry]), output="/out")


def test_numerics_are_those_of_mergekit() -> None:
    recipe = from_mergekit(changed(dtype="bfloat16", out_dtype=None), output="/out")

    assert (recipe.numerics, recipe.dtype, recipe.out_dtype) == ("mergekit-0.1.5", "BF16", "BF16")
    assert read(TIES).dtype == "F32"
    assert recipe.vocabulary == "refuse"


def test_what_mergekit_ignores_is_named() -> None:
    recipe = from_mergekit(changed(parameters={"gamma": 1, "lambda": "1e-1"}), output="/out")

    assert "parameters: 'gamma' is no parameter of ties there." in recipe.note
    assert recipe.setting.options["scale"] == 0.1


def test_patterns_go_on_to_the_values_for_all_and_to_the_defaults() -> None:
    models = [
        {"model": "a", "parameters": {"weight": [{"filter": "mlp", "value": [0, 1]}]}},
        {"model": "b", "parameters": {"weight": {"filter": "attn", "value": 0.25}, "density": 0.5}},
    ]
    data = changed(
        models=models, parameters={"weight": [0.5, 1], "density": {"filter": "q", "value": 0.1}}
    )

    one, two = (expert.options for expert in from_mergekit(data, output="/out").experts)

    gradient = {"filter": "*", "value": [0.5, 1]}
    assert one["weight"] == [{"filter": "mlp", "value": [0, 1]}, gradient]
    assert two["weight"] == [{"filter": "attn", "value": 0.25}, gradient]
    assert one["density"] == [{"filter": "q", "value": 0.1}, {"filter": "*", "value": 1.0}]
    assert two["density"] == 0.5


SLICES = """
merge_method: passthrough
slices:
  - sources:
    - model: a
      layer_range: [0, 3]
  - sources:
    - model: b+lora
      layer_range: [1, 4]
      parameters: {scale: [{filter: o_proj, value: 0.0}]}
    residual_weight: 0.5
dtype: bfloat16
"""


def test_slices_name_models_by_their_places() -> None:
    recipe = read(SLICES)

    first, second = recipe.slices
    assert [(one.model.path, one.model.adapter) for one in recipe.experts] == [
        ("a", ""),
        ("b", "lora"),
    ]
    assert (first.sources[0].model, first.sources[0].layers) == (0, (0, 3))
    assert (second.sources[0].model, second.sources[0].layers) == (1, (1, 4))
    assert second.sources[0].options == {"scale": [{"filter": "o_proj", "value": 0.0}]}
    assert recipe.setting.options == {"scale": 1.0}
    assert "residual_weight" in recipe.note


def test_a_slice_may_have_a_base_of_its_own() -> None:
    data = yaml.safe_load(SLICES) | {"merge_method": "slerp", "base_model": "a"}
    data["parameters"] = {"t": 0.25}
    both = [{"model": name, "layer_range": [0, 4]} for name in ("a", "b")]
    data["slices"] = [
        {"sources": both},
        {"sources": both, "base_model": "b", "parameters": {"t": 0}},
    ]

    recipe = from_mergekit(data, output="/out")

    assert [one.model.path for one in recipe.experts] == ["b"]
    assert [source.model for source in recipe.slices[0].sources] == [-1, 0]
    assert (recipe.slices[0].base, recipe.slices[1].base) == (None, 0)
    assert recipe.slices[1].options == {"t": 0}


def test_modules_hold_models_or_slices() -> None:
    data = changed(models=None)
    entry = {"model": "/m/a", "parameters": {"weight": 1}}
    data["modules"] = {"text_decoder": {"models": [entry], "parameters": {"density": 0.3}}}

    (module,) = from_mergekit(data, output="/out").modules

    assert (module.name, module.options) == ("text_decoder", {"density": 0.3})
    assert module.slices[0].sources[0].layers is None


def test_a_tokenizer_block_becomes_a_rule() -> None:
    block = {
        "source": "union",
        "pad_to_multiple_of": 64,
        "tokens": {
            "<x>": {"source": "/m/a", "force": True},
            "<y>": {"source": {"kind": "model_token", "model": "/m/lender", "token_id": 3}},
            "<z>": {"source": {"kind": "zero"}},
        },
    }

    recipe = from_mergekit(changed(tokenizer=block), output="/out")

    rule = recipe.tokenizer
    assert rule is not None
    assert (rule.source, rule.pad_to_multiple_of) == ("union", 64)
    assert (rule.tokens["<x>"].kind, rule.tokens["<x>"].model) == ("model", 0)
    assert rule.tokens["<x>"].force
    assert (rule.tokens["<y>"].model, rule.tokens["<y>"].token_id) == (2, 3)
    assert rule.tokens["<z>"].kind == "zero"
    # Whoever only lends tokens is not merged.
    assert [source.model for source in recipe.slices[0].sources] == [0, 1]
    assert recipe.slices[0].sources[0].layers is None
    short = from_mergekit(changed(tokenizer_source="base"), output="/out").tokenizer
    assert short is not None
    assert short.source == "base"


def test_a_linear_merge_refuses_a_base_without_a_weight() -> None:
    with pytest.raises(OptionError, match="base_model '/m/base': parameter 'weight' is missing"):
        read(
            "merge_method: linear\nbase_model: /m/base\n"
            "models:\n- {model: a, parameters: {weight: 1}}"
        )


def test_a_mergekit_file_is_known_by_its_fields_and_needs_an_output(tmp_path: Path) -> None:
    path = tmp_path / "ties.yml"
    path.write_text(TIES)

    recipe = load_recipe(path, output=str(tmp_path / "merged"))

    assert isinstance(recipe, MergeRecipe)
    with pytest.raises(OptionError, match="Give an output folder"):
        load_recipe(path)
