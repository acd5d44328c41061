from __future__ import annotations

from typing import Any

import pytest
import torch

from deltaworks.errors import OptionError

X = [1.0, 0.0]
Y = [0.0, 1.0]
HALF = 0.7071068


@pytest.mark.parametrize(
    ("experts", "weights", "expected"),
    [
        ([X, Y], (1, 1), [HALF, HALF]),
        ([X, Y], (0.25, 0.75), [0.316228, 0.948683]),
        ([[1, 0, 0], [0, 2, 0], [0, 0, 3]], (1, 1, 1), [1.154701] * 3),
        ([[2, 0], Y], (1, 1), [1.06066, 1.06066]),
        ([X, [-1, 0]], (1, 1), [0, 0]),
        ([X], (0.3,), X),
    ],
)
def test_hand_computed_cases(
    merged: Any, experts: Any, weights: Any, expected: list[float]
) -> None:
    own = [(expert, {"weight": weight}) for expert, weight in zip(experts, weights, strict=True)]

    found = merged("multislerp", None, own)

    torch.testing.assert_close(found, torch.tensor(expected).float(), rtol=0, atol=2e-6)


def _obvious(vectors: list[Any], weights: list[float]) -> Any:
    """Multi-SLERP in float64 on the vectors themselves."""
    units = [vector / (vector.norm() + 1e-8) for vector in vectors]
    mean = sum(w * u for w, u in zip(weights, units, strict=True))
    mean = mean / mean.norm()
    tangent = sum(w * (u - (u * mean).sum() * mean) for w, u in zip(weights, units, strict=True))
    s = tangent.norm() + 1e-8
    length = sum(w * v.norm() for w, v in zip(weights, vectors, strict=True))
    return (mean * torch.cos(s) + tangent * torch.sin(s) / s) * length


@pytest.mark.parametrize("distance", [1.0, 1e-3])
@pytest.mark.parametrize("has_base", [False, True])
def test_merge_equals_float64(merged: Any, gaussian: Any, distance: float, has_base: bool) -> None:
    start, base = gaussian(300, 500), 0.1 * gaussian(300, 500, seed=8)
    tensors = [start + distance * gaussian(300, 500, seed=seed) for seed in (1, 2, 3)]
    weights = [0.2, 0.5, 1.3]
    own = [(tensor, {"weight": weight}) for tensor, weight in zip(tensors, weights, strict=True)]

    found = merged("multislerp", base if has_base else None, own)

    origin = base.double() if has_base else torch.zeros_like(base).double()
    arc = _obvious([t.double() - origin for t in tensors], [w / 2.0 for w in weights])
    torch.testing.assert_close(found.double(), origin + arc, rtol=1e-5, atol=2e-6)


def test_larger_models_give_a_larger_result(merged: Any, gaussian: Any) -> None:
    tensors = [gaussian(30, 40, seed=seed) for seed in range(3)]

    once = merged("multislerp", None, [(t, {}) for t in tensors])
    twice = merged("multislerp", None, [(2 * t, {}) for t in tensors])

    torch.testing.assert_close(twice, 2 * once, rtol=1e-5, atol=1e-6)


def test_two_models_meet_in_the_direction_of_slerp(merged: Any, gaussian: Any) -> None:
    one, two = (torch.nn.functional.normalize(gaussian(1, 500, seed=s)) for s in (0, 1))

    found = merged("multislerp", None, [(one, {}), (two, {})])

    torch.testing.assert_close(found, merged("slerp", one, [(two, {})], t=0.5))


def test_three_directions_that_cancel_are_refused(merged: Any) -> None:
    experts = [([1.0, 0.0], {"weight": 2.0}), ([-1.0, 0.0], {}), ([-1.0, 0.0], {})]

    with pytest.raises(OptionError, match="directions of the models cancel"):
        merged("multislerp", None, experts)
    with pytest.raises(OptionError, match="cannot be normalized"):
        merged("multislerp", None, [(X, {"weight": 1.0}), (Y, {"weight": -1.0})])


def test_three_zeros_give_zeros(merged: Any) -> None:
    assert merged("multislerp", None, [([0.0, 0.0], {})] * 3).tolist() == [0.0, 0.0]
