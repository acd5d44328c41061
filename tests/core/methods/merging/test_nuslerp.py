from __future__ import annotations

from typing import Any

import pytest
import torch

from deltaworks.errors import OptionError

ONE = [[1.0, 0.0], [0.0, 1.0]]
TWO = [[0.0, 1.0], [1.0, 1.0]]
HALF = 0.7071068


@pytest.mark.parametrize(
    ("vectors", "expected"),
    [
        ("tensor", [[0.595862, 0.595862], [0.595862, 1.191723]]),
        ("rows", [[HALF, HALF], [0.541196, 1.082392]]),
        ("columns", [[HALF, 0.541196], [HALF, 1.082392]]),
    ],
)
def test_hand_computed_cases(merged: Any, vectors: str, expected: Any) -> None:
    found = merged("nuslerp", None, [(ONE, {}), (TWO, {})], vectors=vectors)

    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("vectors", ["tensor", "rows", "columns"])
def test_a_vector_is_one_vector(merged: Any, vectors: str) -> None:
    found = merged("nuslerp", None, [([1.0, 0.0], {}), ([0.0, 1.0], {})], vectors=vectors)

    torch.testing.assert_close(found, torch.tensor([HALF, HALF]))


def test_arcs_go_around_the_base_where_there_is_one(merged: Any) -> None:
    found = merged("nuslerp", [-1.0, -1.0], [([1.0, 0.0], {}), ([0.0, 1.0], {})])

    torch.testing.assert_close(found, torch.tensor([0.581139, 0.581139]), rtol=0, atol=1e-6)


def test_weights_that_cancel_meet_in_the_middle(merged: Any) -> None:
    experts = [([1.0, 0.0], {"weight": 0.5}), ([0.0, 1.0], {"weight": -0.5})]

    torch.testing.assert_close(merged("nuslerp", None, experts), torch.tensor([HALF, HALF]))


@pytest.mark.parametrize("vectors", ["rows", "columns"])
def test_parallel_and_empty_vectors_go_straight(merged: Any, vectors: str) -> None:
    one = torch.tensor([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 0.0]])

    found = merged("nuslerp", None, [(one, {}), (3 * one, {"weight": 3.0})], vectors=vectors)

    torch.testing.assert_close(found, 2.5 * one)


def test_it_is_slerp_by_weight(merged: Any, gaussian: Any) -> None:
    one, two = gaussian(30, 50), gaussian(30, 50, seed=1)

    found = merged("nuslerp", None, [(one, {"weight": 1.4}), (two, {"weight": 0.6})])

    torch.testing.assert_close(found, merged("slerp", one, [(two, {})], t=0.3))


@pytest.mark.parametrize("has_base", [False, True])
@pytest.mark.parametrize(("vectors", "dim"), [("rows", 1), ("columns", 0)])
def test_merge_equals_float64(
    merged: Any, gaussian: Any, vectors: str, dim: int, has_base: bool
) -> None:
    base, one, two = (gaussian(600, 500, seed=seed) for seed in range(3))
    experts = [(one, {"weight": 0.7}), (two, {"weight": 0.3})]

    found = merged("nuslerp", base if has_base else None, experts, vectors=vectors)

    start = base.double() if has_base else torch.zeros(600, 500, dtype=torch.float64)
    left, right = one.double() - start, two.double() - start
    cosine = torch.nn.functional.cosine_similarity(left, right, dim=dim).unsqueeze(dim)
    theta = cosine.acos()
    arc = ((0.7 * theta).sin() * left + (0.3 * theta).sin() * right) / theta.sin()
    torch.testing.assert_close(found.double(), start + arc, rtol=1e-5, atol=1e-6)


def test_a_third_model_is_refused(merged: Any) -> None:
    with pytest.raises(OptionError, match="not through 3"):
        merged("nuslerp", None, [([1.0], {})] * 3)
