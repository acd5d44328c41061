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
    with pytest.raises(OptionError, match="rescale is 'l1', not true or false"):
        read(f"merge_method: dare_ties\n{BASE}{TWO}parameters: {{rescale: l1}}")


@pytest.mark.parametrize("name", ["nuslerp", "multislerp"])
def test_arcs_go_around_a_base_where_one_is_named(name: str) -> None:
    recipe = read(f"merge_method: {name}\n{BASE}{TWO}")

    assert recipe.base is not None
    assert recipe.base.path == "o"
    assert [expert.model.path for expert in recipe.experts] == ["a", "b"]
    assert read(f"merge_method: {name}\n{TWO}").base is None


def test_a_base_that_counts_like_any_model_must_be_listed() -> None:
    with pytest.raises(OptionError, match="base_model 'o' is not among the models"):
        read(f"merge_method: karcher\n{BASE}{BARE}")

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
        ({"slices": []}, "'slices': layer slices"),
        ({"modules": {}}, "'modules'"),
        ({"tokenizer_source": "union"}, "'tokenizer_source'"),
        ({"tokenizer": {"source": "base"}}, "'tokenizer'"),
        ({"chat_template": "auto"}, "'chat_template'"),
        ({"surprise": 1}, "unknown field 'surprise'"),
        ({"merge_method": "passthrough"}, "merge_method 'passthrough' is not in this version"),
        ({"parameters": {"lambda": [0, 1]}}, "parameters.lambda: a gradient"),
        (
            {"parameters": {"density": [{"filter": "mlp", "value": 1}]}},
            "parameters.density: filters",
        ),
        ({"parameters": {"density": {"filter": "mlp", "value": 1}}}, "filters"),
        ({"parameters": {"gamma": 1}}, "'gamma' is no parameter of ties"),
        ({"dtype": "int4"}, "dtype is 'int4'"),
        ({"base_model": None}, "needs a base_model"),
        ({"base_model": "/m/base+/m/lora"}, "adapter after"),
        ({"base_model": {"model": {"path": "x", "revision": "y"}}}, "only a plain path"),
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


def test_a_half_precision_dtype_says_that_we_compute_in_float32() -> None:
    recipe = from_mergekit(changed(dtype="bfloat16", out_dtype=None), output="/out")

    assert recipe.out_dtype == "BF16"
    assert "computed in float32" in recipe.note


def test_a_linear_merge_refuses_a_base_without_a_weight() -> None:
    with pytest.raises(OptionError, match="base_model '/m/base' has no weight"):
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
