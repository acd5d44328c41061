from __future__ import annotations

from typing import Any

import pytest

from deltaworks.errors import OptionError
from deltaworks.recipes.patterns import MISSING, check_value, followed_by, value_at


@pytest.mark.parametrize(
    ("at", "wanted"), [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.75, 0.75), (1.0, 0.5)]
)
def test_a_gradient_is_interpolated_between_its_values(at: float, wanted: float) -> None:
    assert value_at([0, 1.0, 0.5], at, "w") == pytest.approx(wanted)


def test_a_list_of_texts_or_flags_gives_the_earlier_one() -> None:
    assert [value_at([True, False], at, "w") for at in (0.0, 0.9, 1.0)] == [True, True, False]
    assert value_at(["a", "b", "c"], 0.6, "w") == "b"


def test_the_first_filter_that_is_part_of_the_name_counts() -> None:
    value = [
        {"filter": "mlp", "value": [0, 1]},
        {"filter": "layers.1.", "value": 5},
        {"value": 7},
    ]

    assert value_at(value, 0.5, "model.layers.1.mlp.up_proj.weight") == 0.5
    assert value_at(value, 0.5, "model.layers.1.self_attn.q_proj.weight") == 5
    assert value_at(value, 0.5, "lm_head.weight") == 7
    assert value_at({"filter": "mlp", "value": 1}, 0.0, "lm_head.weight") is MISSING
    assert value_at([{"filter": "*", "value": 2}], 0.0, "anything") == 2


def test_scopes_follow_each_other_where_no_filter_fits() -> None:
    joined = followed_by([{"filter": "mlp", "value": 1}, [{"filter": "q", "value": 2}], [3, 4], 9])

    names = ("mlp.up", "q_proj", "lm_head")
    assert [value_at(joined, 1.0, name) for name in names] == [1, 2, 4]
    assert followed_by([0.5, {"filter": "mlp", "value": 1}]) == 0.5


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ([], "empty list"),
        ([None], "None is not a number"),
        ([{"filter": "a"}], "'value' is missing"),
        ([{"filter": "a", "value": 1, "then": 2}], "unknown field 'then'"),
        ([{"filter": 3, "value": 1}], "filter is 3"),
        ([{"value": [{"value": 1}]}], "not a number"),
        ([{"value": 1}, 2], "stands among filters"),
    ],
)
def test_values_in_no_form_are_refused(value: Any, what: str) -> None:
    with pytest.raises(OptionError, match=what):
        check_value(value, "weight")
