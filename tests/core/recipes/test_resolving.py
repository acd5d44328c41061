from __future__ import annotations

from typing import Any

import pytest

from deltaworks.errors import MismatchError, OptionError
from deltaworks.recipes import parse_recipe
from deltaworks.recipes.layouts import main_stack, spot_of, stacks_of
from deltaworks.recipes.resolving import (
    Known,
    Models,
    ResolvedTensor,
    check_patterns,
    resolve,
)
from deltaworks.recipes.schema import MergeRecipe

KNOWN = Known(frozenset({"normalize"}), frozenset({"weight", "density"}))


def names(layers: int, *, head: bool = True) -> list[str]:
    inside = [f"model.layers.{n}.{part}" for n in range(layers) for part in ("q", "mlp")]
    return ["model.embed_tokens", *inside, "model.norm", *(["lm_head"] if head else [])]


def models(*counts: int, base: int | None = None) -> Models:
    found = {number: names(count) for number, count in enumerate(counts)}
    if base is not None:
        found[-1] = names(base)
    return Models(found, lambda name: name in {"model.norm", "lm_head"})


def recipe(count: int = 2, *, base: bool = False, **more: Any) -> MergeRecipe:
    each = more.pop("each", [{}] * count)
    made = parse_recipe(
        {
            "kind": "merge",
            "base": {"path": "base"} if base else None,
            "experts": [
                {"model": {"path": f"m{number}"}, "options": each[number]}
                for number in range(count)
            ],
            "setting": {"method": "linear", "options": more.pop("options", {})},
            "output": "out",
            **more,
        }
    )
    assert isinstance(made, MergeRecipe)
    return made


def by_name(found: list[ResolvedTensor]) -> dict[str, ResolvedTensor]:
    return {tensor.name: tensor for tensor in found}


def weights(found: list[ResolvedTensor], expert: int = 0) -> dict[str, Any]:
    return {t.name: t.sources[expert].options.get("weight") for t in found}


def test_names_are_read_into_stacks() -> None:
    spot = spot_of("model.layers.12.mlp.experts.3.up.weight")

    assert spot is not None
    assert (spot.stack, spot.layer, spot.rest) == ("model.layers", 12, "mlp.experts.3.up.weight")
    assert spot.at(4).name == "model.layers.4.mlp.experts.3.up.weight"
    assert spot_of("lm_head.weight") is None
    both = ["encoder.layers.0.a", "encoder.layers.1.a", "decoder.layers.0.a", "decoder.layers.0.b"]
    assert stacks_of(both) == {"encoder.layers": 2, "decoder.layers": 1}
    assert main_stack(both, 1) == "decoder.layers"


def test_a_gradient_puts_its_first_value_outside_of_layers() -> None:
    """The oracle of the specification: 0, 1/3, 2/3, 1, and 0 in embeddings, norm and head."""
    found = resolve(recipe(each=[{"weight": [0, 1]}, {"weight": [1, 0]}]), models(4, 4), KNOWN)

    got = weights(found)
    assert [got[f"model.layers.{n}.q"] for n in range(4)] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert [got[name] for name in ("model.embed_tokens", "model.norm", "lm_head")] == [0, 0, 0]
    assert [tensor.name for tensor in found] == names(4)


def test_a_slice_of_one_layer_takes_the_last_value_of_a_gradient() -> None:
    slices = [{"sources": [{"model": 0, "layers": [1, 2], "options": {"weight": [0.25, 0.75]}}]}]

    got = weights(resolve(recipe(slices=slices), models(3, 3), KNOWN))

    assert got["model.layers.0.q"] == 0.75
    assert got["model.embed_tokens"] == 0.25


def test_stacked_slices_number_layers_anew() -> None:
    slices = [
        {"sources": [{"model": 0, "layers": [0, 3]}]},
        {"sources": [{"model": 1, "layers": [1, 4]}]},
    ]

    found = by_name(resolve(recipe(slices=slices), models(4, 4), KNOWN))

    origin = {name: (t.sources[0].model, t.sources[0].name) for name, t in found.items()}
    assert origin["model.layers.3.q"] == (1, "model.layers.1.q")
    assert origin["model.layers.5.mlp"] == (1, "model.layers.3.mlp")
    assert origin["model.embed_tokens"][0] == 0
    assert origin["lm_head"][0] == 1
    assert max(t.layer for t in found.values() if t.layer is not None) == 5


def test_the_innermost_scope_with_a_value_counts() -> None:
    slices = [
        {
            "sources": [
                {"model": 0, "layers": [0, 2], "options": {"weight": {"filter": "q", "value": 1}}},
                {"model": 1, "layers": [0, 2]},
            ],
            "options": {"weight": [{"filter": "mlp", "value": 2}]},
        }
    ]
    options = {"weight": 3, "density": 0.5, "normalize": False}

    found = by_name(resolve(recipe(slices=slices, options=options), models(2, 2), KNOWN))

    first = {name: t.sources[0].options["weight"] for name, t in found.items()}
    second = {name: t.sources[1].options["weight"] for name, t in found.items()}
    assert (first["model.layers.0.q"], first["model.layers.0.mlp"], first["lm_head"]) == (1, 2, 3)
    assert (second["model.layers.0.q"], second["model.layers.0.mlp"]) == (3, 2)
    assert found["lm_head"].options == {"normalize": False}
    assert found["lm_head"].sources[0].options["density"] == 0.5


def test_the_base_takes_its_own_layers_of_a_slice() -> None:
    slices = [
        {"sources": [{"model": -1, "layers": [0, 2]}, {"model": 0, "layers": [1, 3]}]},
        {"sources": [{"model": 0, "layers": [0, 1]}], "base": 0},
    ]

    found = by_name(resolve(recipe(1, base=True, slices=slices), models(3, base=3), KNOWN))

    tensor = found["model.layers.1.q"]
    assert tensor.base is not None
    assert (tensor.base.model, tensor.base.name) == (-1, "model.layers.1.q")
    assert [(one.model, one.name) for one in tensor.sources] == [(0, "model.layers.2.q")]
    last = found["model.layers.2.q"]
    assert last.base is not None
    assert (last.base.model, last.sources) == (0, ())


def test_modules_take_their_tensors_and_leave_the_others() -> None:
    found = Models(
        {
            0: ["visual.a", "language_model.layers.0.q"],
            1: ["visual.a", "language_model.layers.0.q"],
        },
        lambda _: False,
    )
    module = {"name": "text_decoder", "slices": [{"sources": [{"model": 0}, {"model": 1}]}]}

    got = by_name(resolve(recipe(modules=[module]), found, KNOWN))

    assert len(got["language_model.layers.0.q"].sources) == 2
    assert not got["visual.a"].is_described


def test_what_only_some_models_have_is_told() -> None:
    found = models(2, 2)
    short = Models({0: found.names[0], 1: names(2, head=False)}, found.is_late)

    got = by_name(resolve(recipe(), short, KNOWN))

    assert got["lm_head"].missing == (1,)
    assert got["model.norm"].missing == ()


@pytest.mark.parametrize(
    ("more", "counts", "error", "what"),
    [
        ({}, (2, 3), MismatchError, "layers: 2 in expert 1, 3 in expert 2"),
        (
            {"slices": [{"sources": [{"model": 0, "layers": [1, 4]}]}]},
            (3, 3),
            MismatchError,
            "takes layers 1 to 4 of expert 1, which has 3",
        ),
        (
            {
                "slices": [
                    {"sources": [{"model": 0, "layers": [0, 1]}, {"model": 1, "layers": [0, 2]}]}
                ]
            },
            (3, 3),
            MismatchError,
            "its sources have 1, 2 layers",
        ),
    ],
)
def test_layers_that_do_not_fit_are_refused(
    more: dict[str, Any], counts: tuple[int, ...], error: type[Exception], what: str
) -> None:
    with pytest.raises(error, match=what):
        resolve(recipe(**more), models(*counts), KNOWN)


def test_a_required_value_must_be_there_for_every_tensor() -> None:
    known = Known(KNOWN.common, KNOWN.each, frozenset({"weight"}))
    each = [{"weight": {"filter": "mlp", "value": 1}}, {"weight": 1}]

    with pytest.raises(OptionError, match="'weight' of expert 1 has no value") as caught:
        resolve(recipe(each=each), models(2, 2), known)

    assert caught.value.where == "model.embed_tokens"


def test_unknown_options_are_named_wherever_they_are() -> None:
    slices = [{"sources": [{"model": 0, "layers": [0, 1], "options": {"wait": 1}}]}]
    made = recipe(slices=slices, options={"normalise": True}, each=[{"weight": []}, {}])

    found = [str(error) for error in check_patterns(made, KNOWN)]

    assert len(found) == 3
    assert "normalise" in found[0]
    assert "empty list" in found[1]
    assert "slice 1, source 1" in found[2]
