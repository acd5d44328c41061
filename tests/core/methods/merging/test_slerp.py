from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from deltaworks.errors import OptionError


@pytest.mark.parametrize(
    ("base", "other", "t", "expected"),
    [
        ([1, 0], [0, 1], 0.0, [1, 0]),
        ([1, 0], [0, 1], 0.25, [0.923880, 0.382683]),
        ([1, 0], [0, 1], 0.5, [0.707107, 0.707107]),
        ([1, 0], [0, 1], 1.0, [0, 1]),
        ([2, 0], [0, 1], 0.5, [1.414214, 0.707107]),
        ([1, 0], [2, 0], 0.25, [1.25, 0]),
        ([1, 0], [-1, 0], 0.5, [0, 0]),
        ([0, 0], [1, 0], 0.5, [0.707107, 0]),
    ],
)
def test_hand_computed_cases(
    merged: Any, base: list[float], other: list[float], t: float, expected: list[float]
) -> None:
    found = merged("slerp", base, [(other, {})], t=t)

    torch.testing.assert_close(found, torch.tensor(expected).float(), rtol=0, atol=1e-6)


def test_only_nearly_parallel_vectors_take_the_straight_line(merged: Any) -> None:
    for angle, is_straight in ((0.05, False), (0.02, True)):
        other = [math.cos(angle), math.sin(angle)]

        found = merged("slerp", [1.0, 0.0], [(other, {})], t=0.5)

        half = angle / 2
        arc = [math.cos(half), math.sin(half)]
        line = [(1 + math.cos(angle)) / 2, math.sin(angle) / 2]
        expected = torch.tensor(line if is_straight else arc)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_ends_are_the_models(merged: Any, gaussian: Any) -> None:
    base, other = gaussian(300, 500), gaussian(300, 500, seed=1)

    assert torch.equal(merged("slerp", base, [(other, {})], t=0.0), base)
    torch.testing.assert_close(merged("slerp", base, [(other, {})], t=1.0), other)


def test_the_way_back_is_the_same(merged: Any, gaussian: Any) -> None:
    base, other = gaussian(30, 50), gaussian(30, 50, seed=1)

    there = merged("slerp", base, [(other, {})], t=0.3)
    back = merged("slerp", other, [(base, {})], t=0.7)

    torch.testing.assert_close(there, back, rtol=1e-5, atol=1e-6)


def test_unit_vectors_stay_unit_vectors(merged: Any, gaussian: Any) -> None:
    base, other = (torch.nn.functional.normalize(gaussian(1, 500, seed=s)) for s in (0, 1))

    found = merged("slerp", base, [(other, {})], t=0.4)

    assert float(found.norm()) == pytest.approx(1.0, abs=1e-6)


def test_merge_equals_float64(merged: Any, gaussian: Any) -> None:
    base = gaussian(400, 700)
    other = base + 0.5 * gaussian(400, 700, seed=1)

    found = merged("slerp", base, [(other, {})], t=0.3)

    one, two = base.double(), other.double()
    theta = torch.acos((one * two).sum() / (one.norm() * two.norm()))
    expected = torch.sin(0.7 * theta) * one + torch.sin(0.3 * theta) * two
    torch.testing.assert_close(found.double(), expected / torch.sin(theta), rtol=1e-5, atol=1e-6)


def test_more_than_one_other_model_is_refused(merged: Any) -> None:
    with pytest.raises(OptionError, match="not to 2"):
        merged("slerp", [1.0], [([1.0], {}), ([2.0], {})])
