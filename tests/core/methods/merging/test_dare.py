from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest
import torch

from deltaworks.errors import OptionError
from deltaworks.methods import merging_method
from deltaworks.methods.merging_record import MergeExpert, MergeInputs
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.draws import drawn_bits


def _mask(count: int, density: float, index: int) -> torch.Tensor:
    bits = drawn_bits(0, "w", count, density, f"expert {index}")
    return torch.from_numpy(np.unpackbits(bits, count=count, bitorder="little"))


BOTH = pytest.mark.parametrize("method_id", ["dare-linear", "dare-ties"])


def _merged(method_id: str, base: Any, experts: list[Any], seed: int = 0, **own: Any) -> Any:
    method = merging_method(method_id)
    each = tuple(MergeExpert(expert, method.expert_options(**own)) for expert in experts)
    spec = TensorSpec("w", tuple(base.shape), seed)
    return method.merge(MergeInputs(spec, base, each), method.options())


def test_density_of_one_is_the_method_without_dropping(merged: Any, gaussian: Any) -> None:
    base, *experts = (gaussian(40, 50, seed=seed) for seed in range(4))
    weights = (0.3, 0.7, -0.2)
    own = [
        (expert, {"weight": weight, "density": 1.0})
        for expert, weight in zip(experts, weights, strict=True)
    ]

    found = merged("dare-linear", base, own)
    elected = merged("dare-ties", base, own, normalize=True)

    plain = [(expert, {"weight": weight}) for expert, weight in zip(experts, weights, strict=True)]
    assert torch.equal(found, merged("task-arithmetic", base, plain))
    assert torch.equal(elected, merged("ties", base, own))


@BOTH
def test_survivors_are_those_of_the_experts_stream(method_id: str, merged: Any) -> None:
    ones = torch.ones(3, 100)
    zero = torch.zeros(3, 100)

    first = merged(method_id, zero, [(ones, {"density": 0.25})])
    both = merged(method_id, zero, [(zero, {"density": 0.25}), (ones, {"density": 0.25})])

    for found, index in ((first, 0), (both, 1)):
        assert torch.equal(found.reshape(-1), 4.0 * _mask(300, 0.25, index).float())


@BOTH
@pytest.mark.parametrize("density", [0.1, 0.5, 0.9])
def test_share_kept_is_the_density_within_chance(method_id: str, density: float) -> None:
    count = 200_000

    found = _merged(method_id, torch.zeros(count), [torch.ones(count)], density=density)

    kept = int(torch.count_nonzero(found))
    assert abs(kept - density * count) < 4 * sqrt(density * (1 - density) * count)


def test_mean_over_seeds_is_task_arithmetic(gaussian: Any) -> None:
    base, one, two = (gaussian(20, 20, seed=seed) for seed in range(3))
    n_seeds = 1000

    mean = (
        sum(_merged("dare-linear", base, [one, two], seed).double() for seed in range(n_seeds))
        / n_seeds
    )

    # A survivor is 2 delta or 0: the spread of the mean is |delta| / sqrt(seeds).
    exact = (one + two - base).double()
    spread = ((one - base).double() ** 2 + (two - base).double() ** 2).sqrt() / sqrt(n_seeds)
    assert bool(((mean - exact).abs() < 5 * spread).all())


@BOTH
def test_rescaling_as_mergekit_restores_the_sum_of_magnitudes(
    method_id: str, merged: Any, gaussian: Any
) -> None:
    delta = gaussian(300, 500)

    found = merged(method_id, torch.zeros(300, 500), [(delta, {"density": 0.3})], rescale="l1")
    plain = merged(method_id, torch.zeros(300, 500), [(delta, {"density": 0.3})], rescale="none")

    torch.testing.assert_close(found.abs().sum(), delta.abs().sum(), rtol=1e-5, atol=0)
    kept = plain != 0
    assert torch.equal(plain[kept], delta[kept])
    torch.testing.assert_close(found, plain * (delta.abs().sum() / plain.abs().sum()))


@BOTH
def test_seed_decides_and_repeats(method_id: str, gaussian: Any) -> None:
    base, expert = gaussian(30, 40), gaussian(30, 40, seed=1)

    first, again, other = (_merged(method_id, base, [expert], seed) for seed in (7, 7, 8))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_ties_on_the_survivors_alone(merged: Any, gaussian: Any) -> None:
    base = torch.zeros(50, 60)
    tensors = [gaussian(50, 60, seed=seed) for seed in (1, 2, 3)]
    own = {"density": 0.4}

    found = merged("dare-ties", base, [(t, own) for t in tensors], rescale="none", normalize=True)

    masks = [_mask(3000, 0.4, index) for index in range(3)]
    kept = [
        (tensor * mask.view(50, 60), {"density": 1.0})
        for tensor, mask in zip(tensors, masks, strict=True)
    ]
    torch.testing.assert_close(found, merged("ties", base, kept))


def test_weights_that_sum_to_zero_are_refused(merged: Any) -> None:
    with pytest.raises(OptionError, match="cannot be normalized"):
        merged("dare-linear", [0.0], [([1.0], {"weight": 0.0})], normalize=True)
