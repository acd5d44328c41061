"""TSV-Merge, Iso-C and Iso-CTS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

W1 = [[3.0, 0.0], [0.0, 0.0]]
W2 = [[0.0, 0.0], [0.0, 2.0]]
W3 = [[2.0, 2.0], [0.0, 0.0]]
ZERO = [[0.0, 0.0], [0.0, 0.0]]
EVERY = pytest.mark.parametrize("method_id", ["tsv-merge", "iso-c", "iso-cts"])


@pytest.mark.parametrize(
    ("method_id", "experts", "expected"),
    [
        ("tsv-merge", (W1, W2), [[3, 0], [0, 2]]),
        ("tsv-merge", (W1,), W1),
        ("iso-c", (W1, W2), [[2.5, 0], [0, 2.5]]),
        ("iso-cts", (W1, W2), [[2.5, 0], [0, 2.5]]),
    ],
)
def test_hand_computed_cases(merged: Any, method_id: str, experts: Any, expected: Any) -> None:
    found = merged(method_id, ZERO, [(expert, {}) for expert in experts])

    torch.testing.assert_close(found, torch.tensor(expected).float(), rtol=0, atol=1e-5)


def test_a_row_that_nobody_changed_stays_where_experts_overlap(merged: Any) -> None:
    found = merged("tsv-merge", ZERO, [(W1, {}), (W3, {})])

    # A decomposition that fills the empty direction up gives a second row of some sign.
    expected = torch.tensor([[2.725211, 1.035965], [0.0, 0.0]])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_overlapping_experts_are_made_orthogonal(merged: Any) -> None:
    slanted = np.array([[2.0, 2.0], [0.0, 1.0]])
    mixed = np.array([[3.0, 0.0], [1.0, 0.5]])

    found = merged("tsv-merge", ZERO, [(torch.from_numpy(w).float(), {}) for w in (slanted, mixed)])

    np.testing.assert_allclose(found.numpy(), _tsv([slanted, mixed]), atol=1e-5)


def _svd(matrix: Any) -> Any:
    return np.linalg.svd(matrix, full_matrices=False)


def _polar(matrix: Any) -> Any:
    left, _, right = _svd(matrix)
    return left @ right


def _tsv(deltas: list[Any]) -> Any:
    """TSV-Merge in float64 as the paper writes it, for full ranks."""
    kept = min(deltas[0].shape) // len(deltas)
    parts = [_svd(delta) for delta in deltas]
    left = _polar(np.concatenate([u[:, :kept] for u, _, _ in parts], 1))
    right = _polar(np.concatenate([v[:kept] for _, _, v in parts], 0))
    return left @ np.diag(np.concatenate([s[:kept] for _, s, _ in parts])) @ right


def _iso_cts(deltas: list[Any], common: float) -> Any:
    """Iso-CTS in float64 as the paper writes it."""
    rank, count = min(deltas[0].shape), len(deltas)
    own = round((rank - int(rank * common)) / count)
    shared = rank - own * count
    u, s, v = _svd(sum(deltas))
    left, sigma, right = [], [], []
    for delta in deltas:
        beside = _svd(delta - u[:, :shared] @ u[:, :shared].T @ delta)
        left.append(beside[0][:, :own])
        sigma.append(beside[1][:own])
        right.append(beside[2][:own])
    left, sigma, right = [*left, u[:, :shared]], [*sigma, s[:shared]], [*right, v[:shared]]
    level = np.concatenate(sigma).mean()
    return level * _polar(np.concatenate(left, 1)) @ _polar(np.concatenate(right, 0))


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (43, 43)])
def test_merges_equal_float64(merged: Any, gaussian: Any, shape: tuple[int, int]) -> None:
    base, *experts = (gaussian(*shape, seed=seed) for seed in range(4))
    every: list[Any] = [(expert, {}) for expert in experts]
    deltas = [(expert.double() - base.double()).numpy() for expert in experts]

    found = {
        "tsv": merged("tsv-merge", base, every, scale=0.5),
        "iso-c": merged("iso-c", base, every, scale=1.5),
        "iso-cts": merged("iso-cts", base, every, common=0.6),
    }

    _, s, _ = _svd(sum(deltas))
    expected = {
        "tsv": 0.5 * _tsv(deltas),
        "iso-c": 1.5 * s.mean() * _polar(sum(deltas)),
        "iso-cts": _iso_cts(deltas, 0.6),
    }
    for name, delta in expected.items():
        whole = base.double().numpy() + delta
        np.testing.assert_allclose(found[name].numpy(), whole, rtol=0, atol=1e-4, err_msg=name)


def test_orthogonal_experts_are_summed_by_tsv(merged: Any) -> None:
    left = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0))).Q
    one = 2.0 * left[:, :4] @ torch.eye(8)[:4]
    two = 3.0 * left[:, 4:] @ torch.eye(8)[4:]

    found = merged("tsv-merge", torch.zeros(8, 8), [(one, {}), (two, {})])

    torch.testing.assert_close(found, one + two, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method_id", ["iso-c", "iso-cts"])
def test_all_singular_values_are_alike(merged: Any, gaussian: Any, method_id: str) -> None:
    experts = [gaussian(30, 50, seed=seed) for seed in range(3)]

    found = merged(method_id, torch.zeros(30, 50), [(expert, {}) for expert in experts])

    sigma = torch.linalg.svdvals(found.double())
    assert float(sigma.max() - sigma.min()) < 1e-4 * float(sigma.max())
    if method_id == "iso-c":
        nuclear = torch.linalg.svdvals(sum(experts).double()).sum()
        torch.testing.assert_close(sigma.sum(), nuclear, rtol=1e-5, atol=0)


@EVERY
@pytest.mark.parametrize("shape", [(30,), (2, 30), (3, 4, 5)])
def test_what_is_no_matrix_is_averaged(
    merged: Any, gaussian: Any, method_id: str, shape: tuple[int, ...]
) -> None:
    base, *experts = (gaussian(*shape, seed=seed) for seed in range(4))

    found = merged(method_id, base, [(expert, {}) for expert in experts], scale=2.0)

    expected = base + 2.0 * (sum(experts) / 3 - base)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@EVERY
def test_directions_that_nobody_changed_stay(merged: Any, gaussian: Any, method_id: str) -> None:
    base = gaussian(20, 20)
    experts = [base.clone() for _ in range(2)]
    for number, expert in enumerate(experts):
        expert[:5, :8] += gaussian(5, 8, seed=number + 1)

    delta = merged(method_id, base, [(expert, {}) for expert in experts]) - base

    assert float(delta[:5, :8].abs().max()) > 0.1
    assert float(delta[5:].abs().max()) < 1e-4
    assert float(delta[:, 8:].abs().max()) < 1e-4
