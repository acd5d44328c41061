from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaworks.numerics.importance import (
    cut_for,
    sparsities,
    sparsity_at_cost,
    sparsity_for,
)


def _obvious(sigma: list[float], alpha: float, beta: float, exponent: float) -> list[float]:
    """Algorithm 1 in words: one triple at a time, in plain Python floats."""
    beta = min(beta, alpha)
    survivors = max(1, int(len(sigma) * (1 - beta) + 1e-9))
    gamma = (alpha - beta) / (1 - beta)
    p = [1.0] * len(sigma)
    for k in range(survivors):
        p[k] = gamma * (1 - (sigma[k] / sigma[0]) ** exponent)
    k = survivors - 1
    while k >= 1 and sum(p[:survivors]) < gamma * survivors - 1e-9 * survivors:
        p[k] = 1.0
        k -= 1
    return p


SPECTRA = st.lists(st.floats(0.01, 100.0), min_size=1, max_size=60).map(
    lambda values: sorted(values, reverse=True)
)


@settings(max_examples=200, deadline=None)
@given(SPECTRA, st.floats(0.0, 0.99), st.floats(0.0, 0.95), st.floats(0.0, 2.0))
def test_shares_equal_the_obvious_way(
    sigma: list[float], alpha: float, beta: float, exponent: float
) -> None:
    found = sparsities(np.array(sigma), alpha, beta, exponent)

    np.testing.assert_allclose(found, _obvious(sigma, alpha, beta, exponent), atol=1e-9)


@settings(max_examples=200, deadline=None)
@given(SPECTRA, st.floats(0.0, 0.99), st.floats(0.0, 0.95), st.floats(0.0, 2.0))
def test_shares_grow_and_meet_the_budget(
    sigma: list[float], alpha: float, beta: float, exponent: float
) -> None:
    p = sparsities(np.array(sigma), alpha, beta, exponent)

    assert p[0] == 0.0
    assert (np.diff(p) >= 0).all()
    assert ((p >= 0) & (p <= 1)).all()
    has_only_the_first = (p[1:] == 1.0).all()
    if not has_only_the_first:
        assert alpha - 1e-6 <= p.mean() <= alpha + 2 / len(p) + 1e-6


def test_nothing_to_drop_drops_nothing() -> None:
    assert sparsities(np.array([3.0, 2.0, 1.0]), 0.0, 0.0, 1.0).tolist() == [0.0, 0.0, 0.0]


def test_cutting_all_there_is_to_drop_is_truncation() -> None:
    sigma = np.linspace(10, 1, 10)

    assert sparsities(sigma, 0.8, 0.8, 0.5).tolist() == [0.0] * 2 + [1.0] * 8
    assert sparsities(sigma, 0.7, 0.9, 0.5).tolist() == [0.0] * 3 + [1.0] * 7


@pytest.mark.parametrize(("sigma", "exponent"), [("falling", 0.0), ("equal", 0.7)])
def test_equal_importance_is_truncation(sigma: str, exponent: float) -> None:
    values = np.linspace(9, 1, 100) if sigma == "falling" else np.full(100, 4.0)

    p = sparsities(values, 0.9, 0.5, exponent)

    assert set(p.tolist()) == {0.0, 1.0}
    assert int((p == 0).sum()) == 10


@pytest.mark.parametrize(
    ("cut", "exponent", "rank", "last"),
    [(0.8, 0.5, 150, 0.66), (0.8, 1.0, 377, 0.87), (0.6, 1.0, 535, None)],
)
def test_a_power_law_spectrum_keeps_the_known_ranks(
    cut: float, exponent: float, rank: int, last: float | None
) -> None:
    sigma = np.arange(1, 4097) ** -0.5

    p = sparsities(sigma, sparsity_for(4096, 4096, 4096, 32), cut, exponent)

    assert int((p < 1).sum()) == pytest.approx(rank, abs=1)
    if last is not None:
        assert p[p < 1][-1] == pytest.approx(last, abs=0.005)


def test_a_steep_spectrum_keeps_its_first_triple_over_the_budget() -> None:
    p = sparsities(10.0 ** -np.arange(8.0), 0.99, 0.5, 1.0)

    assert p.tolist() == [0.0] + [1.0] * 7


def test_the_budget_means_the_same_for_every_shape() -> None:
    assert 1 - sparsity_for(4096, 4096, 4096, 32) == pytest.approx(1 / 64)
    assert 1 - sparsity_for(13824, 5120, 5120, 32) == pytest.approx(0.7297 / 32, abs=1e-5)
    assert sparsity_for(64, 64, 1, 16) == 0.0
    assert sparsity_for(64, 0, 0, 16) == 0.0
    # Half the triples, the same numbers: twice the share of each.
    assert 1 - sparsity_for(64, 64, 32, 16) == pytest.approx(2 * (1 - sparsity_for(64, 64, 64, 16)))


def test_the_cut_leaves_the_same_triples_whatever_the_rank() -> None:
    assert cut_for(64, 64, 64, 0.75, 0.99) == 0.75
    assert 32 * (1 - cut_for(64, 64, 32, 0.75, 0.99)) == pytest.approx(64 * 0.25)
    assert cut_for(64, 64, 64, 0.75, 0.5) == 0.5
    assert cut_for(64, 64, 8, 0.75, 0.99) == 0.0
    assert cut_for(11008, 4096, 4096, 0.8, 0.99) == pytest.approx(1 - 1.45 * 0.2, abs=0.01)


@pytest.mark.parametrize("budget", [0.02, 0.1, 0.4])
def test_the_sparsity_found_meets_a_cost(budget: float) -> None:
    sigma = np.arange(1, 4097) ** -0.5
    costs = np.full(4096, 2 / 16)
    costs[:34] = 3 / 16
    costs[:2] = 8 / 16

    alpha = sparsity_at_cost(sigma, costs, 4096 * budget / 8, 0.8, 0.5)

    spent = float((costs * (1 - sparsities(sigma, alpha, 0.8, 0.5))).sum()) / 4096
    assert budget / 8 - 1e-3 <= spent <= budget / 8


def test_a_cost_that_always_fits_drops_nothing() -> None:
    assert sparsity_at_cost(np.ones(4), np.ones(4), 4.0, 0.8, 0.5) == 0.0
