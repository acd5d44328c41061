from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from deltaworks.methods.merging.breadcrumbs import (
    LINEAR,
    TIES,
    BreadcrumbsExpertOptions,
    BreadcrumbsOptions,
    BreadcrumbsTiesExpertOptions,
    BreadcrumbsTiesOptions,
)
from deltaworks.methods.merging_record import MergeExpert, MergeInputs
from deltaworks.methods.method import TensorSpec

DELTA = [0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.8, 0.9, -1.0]
ZERO = [0.0] * 10


@pytest.mark.parametrize(
    ("density", "gamma", "expected"),
    [
        (0.5, 0.1, [0, 0, 0, 0, 0.5, -0.6, 0.7, -0.8, 0.9, 0]),
        (0.5, 0.0, [0, 0, 0, 0, 0, -0.6, 0.7, -0.8, 0.9, -1.0]),
        (0.5, 0.5, [0.1, -0.2, 0.3, -0.4, 0.5, 0, 0, 0, 0, 0]),
        (0.9, 0.01, [0, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.8, 0.9, -1.0]),
        (0.5, 0.9, [0.1, -0.2, 0.3, -0.4, 0.5, 0, 0, 0, 0, 0]),
        (1.0, 0.5, DELTA),
    ],
)
@pytest.mark.parametrize("method_id", ["breadcrumbs", "breadcrumbs-ties"])
def test_hand_computed_cases(
    merged: Any, method_id: str, density: float, gamma: float, expected: list[float]
) -> None:
    found = merged(method_id, ZERO, [(DELTA, {"density": density, "gamma": gamma})])

    assert torch.equal(found, torch.tensor(expected, dtype=torch.float32))


def test_no_outliers_is_the_trim_of_ties(merged: Any, gaussian: Any) -> None:
    # Without equal magnitudes, of which the two keep the last and the first.
    base, *experts = (gaussian(40, 50, seed=seed) for seed in range(4))

    found = merged("breadcrumbs-ties", base, [(e, {"density": 0.3, "gamma": 0.0}) for e in experts])

    plain = merged("ties", base, [(e, {"density": 0.3}) for e in experts], normalize=False)
    assert torch.equal(found, plain)


def test_one_value_is_always_kept(merged: Any) -> None:
    assert merged("breadcrumbs", [0.0], [([1.0], {"density": 0.5, "gamma": 1.0})]).tolist() == [1.0]


def _obvious(base: Tensor, experts: list[Tensor], own: list[Any], options: Any) -> np.ndarray:
    """Breadcrumbs in float64 with a stable ascending sort."""
    start = base.double().numpy().ravel()
    total = np.zeros_like(start)
    for expert, each in zip(experts, own, strict=True):
        delta = (expert.float() - base.float()).double().numpy().ravel()
        count = len(delta)
        keep = max(1, int(each.density * count))
        outliers = min(int(each.gamma * count), count - keep)
        order = np.argsort(np.abs(delta), kind="stable")
        start_at = count - outliers - keep
        kept = np.zeros_like(delta)
        if each.density >= 1:
            kept[:] = delta
        else:
            chosen = order[start_at : start_at + keep]
            kept[chosen] = delta[chosen]
        if options.rescale and min(np.abs(delta).sum(), np.abs(kept).sum()) > 1e-7:
            kept *= np.abs(delta).sum() / np.abs(kept).sum()
        total += each.weight * kept
    if options.normalize:
        total /= sum(each.weight for each in own)
    result: np.ndarray = (start + options.scale * total).reshape(base.shape)
    return result


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 3), st.integers(1, 30), st.booleans(), st.booleans(), st.integers(0, 999))
def test_merge_equals_the_obvious_way(
    n_experts: int, count: int, normalize: bool, rescale: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    base, *experts = (
        torch.from_numpy(rng.integers(-6, 7, (2, count)).astype(np.float32) / 4)
        for _ in range(n_experts + 1)
    )
    options = BreadcrumbsOptions(normalize=normalize, rescale=rescale, scale=0.75)
    own = [
        BreadcrumbsExpertOptions(
            weight=rng.choice([1.0, 0.5, 2.0]),
            density=rng.choice([0.1, 0.35, 0.8, 1.0]),
            gamma=rng.choice([0.0, 0.1, 0.5]),
        )
        for _ in experts
    ]
    each = tuple(MergeExpert(t, o) for t, o in zip(experts, own, strict=True))

    found = LINEAR.merge(MergeInputs(TensorSpec("w", (2, count)), base, each), options)

    expected = _obvious(base, experts, own, options)
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("method", [LINEAR, TIES])
def test_large_tensors_keep_exactly_what_was_asked(method: Any, gaussian: Any) -> None:
    delta = gaussian(500, 701).bfloat16()
    is_ties = method is TIES
    own = (BreadcrumbsTiesExpertOptions if is_ties else BreadcrumbsExpertOptions)(
        density=0.37, gamma=0.02
    )
    options = (BreadcrumbsTiesOptions if is_ties else BreadcrumbsOptions)()
    inputs = MergeInputs(
        TensorSpec("w", (500, 701)), torch.zeros(500, 701), (MergeExpert(delta, own),)
    )

    found = method.merge(inputs, options)

    count = 500 * 701
    assert int(torch.count_nonzero(found)) == int(0.37 * count)
    sizes = delta.float().abs().reshape(-1).sort(descending=True).values
    assert found.abs().max() <= sizes[int(0.02 * count) - 1]
