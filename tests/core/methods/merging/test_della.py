from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
import torch

from deltaworks.errors import OptionError
from deltaworks.methods import merging_method
from deltaworks.methods.merging.della import DellaExpertOptions
from deltaworks.methods.merging_record import MergeExpert, MergeInputs
from deltaworks.methods.method import TensorSpec
from deltaworks.options import read_options

BOTH = pytest.mark.parametrize("method_id", ["della", "della-linear"])


def _kept(delta: Any, seed: int, density: float, epsilon: float) -> Any:
    method: Any = merging_method("della-linear")
    own = method.expert_options(density=density, epsilon=epsilon)
    spec = TensorSpec("w", tuple(delta.shape), seed)
    inputs = MergeInputs(spec, torch.zeros_like(delta), (MergeExpert(delta, own),))
    return method.merge(inputs, method.options(rescale=False)) != 0


def test_density_of_one_is_the_method_without_dropping(merged: Any, gaussian: Any) -> None:
    base, *experts = (gaussian(40, 50, seed=seed) for seed in range(4))
    own = [(expert, {"density": 1.0}) for expert in experts]
    plain: list[Any] = [(expert, {}) for expert in experts]

    assert torch.equal(merged("della", base, own), merged("ties", base, own))
    assert torch.equal(merged("della-linear", base, own), merged("task-arithmetic", base, plain))


def test_chance_of_each_rank_is_that_of_the_formula() -> None:
    # 2000 rows, each a shuffled 1 to 8: the chance depends on the rank alone.
    ranks = torch.stack(
        [torch.randperm(8, generator=torch.Generator().manual_seed(row)) for row in range(2000)]
    )
    delta = (ranks + 1).float() * torch.tensor([1.0, -1.0]).repeat(4)
    n_seeds, density, epsilon = 5, 0.5, 0.3

    kept = [_kept(delta, seed, density, epsilon) for seed in range(n_seeds)]

    for rank in range(8):
        chance = density - epsilon + 2 * epsilon * rank / 7
        count = 2000 * n_seeds
        found = sum(int(mask[ranks == rank].sum()) for mask in kept)
        assert abs(found - chance * count) < 4 * sqrt(chance * (1 - chance) * count)


@pytest.mark.parametrize("epsilon", [0.0, 0.15, 0.29])
def test_share_kept_is_the_density_within_chance(gaussian: Any, epsilon: float) -> None:
    found = int(_kept(gaussian(400, 500), 3, 0.3, epsilon).sum())

    assert abs(found - 0.3 * 200_000) < 4 * sqrt(0.3 * 0.7 * 200_000)


@BOTH
def test_rescaling_restores_the_sum_of_magnitudes(
    method_id: str, merged: Any, gaussian: Any
) -> None:
    delta = gaussian(300, 500)

    found = merged(method_id, torch.zeros(300, 500), [(delta, {})])

    torch.testing.assert_close(found.abs().sum(), delta.abs().sum(), rtol=1e-5, atol=0)


def test_rows_of_one_weight_are_kept_with_the_density() -> None:
    found = int(_kept(torch.ones(50_000, 1), 0, 0.4, 0.2).sum())

    assert abs(found - 20_000) < 4 * sqrt(0.4 * 0.6 * 50_000)


def test_seed_decides_and_repeats(gaussian: Any) -> None:
    delta = gaussian(30, 40)

    assert torch.equal(_kept(delta, 1, 0.5, 0.1), _kept(delta, 1, 0.5, 0.1))
    assert not torch.equal(_kept(delta, 1, 0.5, 0.1), _kept(delta, 2, 0.5, 0.1))


@pytest.mark.parametrize(("density", "epsilon"), [(0.1, 0.15), (0.9, 0.15), (0.15, 0.15)])
def test_chances_outside_zero_to_one_are_refused(density: float, epsilon: float) -> None:
    values = {"density": density, "epsilon": epsilon}

    with pytest.raises(OptionError, match=rf"'epsilon'.*with density {density:g}, chances"):
        read_options(DellaExpertOptions, values, where="expert a")


def test_the_default_spread_is_checked_too_and_density_one_needs_no_room() -> None:
    with pytest.raises(OptionError, match=r"from 0\.75 to 1\.05"):
        read_options(DellaExpertOptions, {"density": 0.9}, where="expert a")
    assert DellaExpertOptions(density=1.0).epsilon == 0.15
