from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from deltaworks.methods.merging.ties import METHOD, TiesExpertOptions, TiesOptions
from deltaworks.methods.merging_record import MergeExpert, MergeInputs
from deltaworks.methods.method import TensorSpec

BASE = [1.0, 1.0, 1.0, 1.0]
A = [1.4, 0.9, 1.3, 1.0]
B = [1.2, 1.3, 0.5, 1.1]


@pytest.mark.parametrize(
    ("weights", "density", "options", "expected"),
    [
        ((1, 1), 1.0, {}, [1.3, 1.3, 0.5, 1.1]),
        ((1, 1), 1.0, {"normalize": False}, [1.6, 1.3, 0.5, 1.1]),
        ((1, 1), 1.0, {"scale": 0.5}, [1.15, 1.15, 0.75, 1.05]),
        ((1, 1), 0.5, {}, [1.4, 1.3, 0.5, 1.0]),
        ((0.3, 0.7), 1.0, {}, [1.26, 1.3, 0.5, 1.1]),
    ],
)
def test_hand_computed_cases(
    merged: Any,
    weights: tuple[float, float],
    density: float,
    options: dict[str, Any],
    expected: list[float],
) -> None:
    experts = [
        (values, {"weight": weight, "density": density})
        for values, weight in zip((A, B), weights, strict=True)
    ]

    torch.testing.assert_close(merged("ties", BASE, experts, **options), torch.tensor(expected))


def test_a_sum_of_zero_elects_plus(merged: Any) -> None:
    keep = {"density": 1.0}

    found = merged("ties", [0.0, 0.0], [([1.0, -1.0], keep), ([-1.0, 1.0], keep)])

    assert found.tolist() == [1.0, 1.0]


def test_one_value_is_always_kept(merged: Any) -> None:
    assert merged("ties", [0.0], [([1.0], {"density": 0.5})]).tolist() == [1.0]


def test_one_whole_expert_comes_back(merged: Any, gaussian: Any) -> None:
    base, expert = gaussian(300, 600), gaussian(300, 600, seed=1)

    found = merged("ties", base, [(expert, {"density": 1.0, "weight": 0.3})])

    torch.testing.assert_close(found, expert, rtol=1e-5, atol=1e-6)


def test_trimmed_deltas_have_the_asked_count(merged: Any, gaussian: Any) -> None:
    expert = gaussian(301, 601).bfloat16()

    found = merged("ties", torch.zeros(301, 601), [(expert, {"density": 0.3})])

    assert int(torch.count_nonzero(found)) == int(0.3 * 301 * 601)


def test_weights_of_zero_give_the_base(merged: Any) -> None:
    assert merged("ties", BASE, [(A, {"weight": 0.0}), (B, {"weight": 0.0})]).tolist() == BASE


def test_rescale_restores_the_sum_of_magnitudes(merged: Any, gaussian: Any) -> None:
    delta = gaussian(400, 500)

    found = merged("ties", torch.zeros(400, 500), [(delta, {"density": 0.2})], rescale=True)

    torch.testing.assert_close(found.abs().sum(), delta.abs().sum(), rtol=1e-4, atol=0)


def _obvious(
    base: Tensor, experts: list[Tensor], weights: list[float], densities: list[float], options: Any
) -> np.ndarray:
    """TIES in float64, one step after another, with a stable sort."""
    start = base.double().numpy().ravel()
    kept = []
    for expert, density in zip(experts, densities, strict=True):
        # The deltas are float32 numbers: their ties must be the same.
        delta = (expert.float() - base.float()).double().numpy().ravel()
        keep = len(delta) if density >= 1 else max(1, int(density * len(delta)))
        trimmed = np.zeros_like(delta)
        order = np.argsort(-np.abs(delta), kind="stable")[:keep]
        trimmed[order] = delta[order]
        if options.rescale and np.abs(trimmed).sum() > 1e-7:
            trimmed *= np.abs(delta).sum() / np.abs(trimmed).sum()
        kept.append(trimmed)
    weighted = np.stack([w * t for w, t in zip(weights, kept, strict=True)])
    elected = np.where(weighted.sum(axis=0) >= 0, 1.0, -1.0)
    agree = np.sign(weighted) == elected
    merged = (weighted * agree).sum(axis=0)
    if options.normalize:
        divisor = (np.array(weights)[:, None] * agree).sum(axis=0)
        merged /= np.where(divisor == 0, 1.0, divisor)
    result: np.ndarray = start + options.scale * merged
    return result.reshape(base.shape)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 30),
    st.integers(1, 20),
    st.booleans(),
    st.integers(0, 999),
)
def test_merge_equals_the_obvious_way(
    n_experts: int, rows: int, cols: int, normalize: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    # Quarters: many equal magnitudes, exact sums, sums of exactly zero.
    base, *experts = (
        torch.from_numpy(rng.integers(-6, 7, (rows, cols)).astype(np.float32) / 4)
        for _ in range(n_experts + 1)
    )
    weights = rng.choice([1.0, 0.5, 2.0, -1.0], n_experts).tolist()
    densities = rng.choice([0.1, 0.35, 0.8, 1.0], n_experts).tolist()
    options = TiesOptions(normalize=normalize, scale=0.75)
    own = [
        TiesExpertOptions(weight=weight, density=density)
        for weight, density in zip(weights, densities, strict=True)
    ]
    inputs = MergeInputs(
        TensorSpec("w", (rows, cols)),
        base,
        tuple(MergeExpert(t, o) for t, o in zip(experts, own, strict=True)),
    )

    found = METHOD.merge(inputs, options)

    expected = _obvious(base, experts, weights, densities, options)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6)


def test_large_tensors_go_through_in_pieces(merged: Any, gaussian: Any) -> None:
    base = 0.02 * gaussian(500, 700)
    experts = [base + 0.003 * gaussian(500, 700, seed=seed) for seed in (1, 2, 3)]
    weights, densities = [1.0, 0.6, 1.3], [0.2, 0.5, 1.0]
    own = [
        {"weight": weight, "density": density}
        for weight, density in zip(weights, densities, strict=True)
    ]

    for rescale in (False, True):
        found = merged("ties", base, list(zip(experts, own, strict=True)), rescale=rescale)

        options = TiesOptions(rescale=rescale)
        expected = _obvious(base, experts, weights, densities, options)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-7)
