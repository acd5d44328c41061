from __future__ import annotations

import pytest
import torch

from deltaworks.numerics.device_link import DeviceLink, HostBackend, computing_on
from deltaworks.numerics.low_rank import (
    batched_svd,
    prefers_sketch,
    reference_svd,
    sketched_svd,
    thin_svd,
    top_svd,
)


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(40, 40), (30, 70), (70, 30), (1, 9), (9, 1), (1, 1)])
def test_thin_svd_equals_a_direct_decomposition(shape: tuple[int, int]) -> None:
    matrix = _random(*shape)

    found = thin_svd(matrix)

    expected = torch.linalg.svdvals(matrix.double())
    torch.testing.assert_close(found.sigma.double(), expected, rtol=1e-5, atol=1e-6)
    again = (found.left * found.sigma) @ found.right.T
    torch.testing.assert_close(again, matrix, rtol=1e-4, atol=1e-5)
    eye = torch.eye(min(shape))
    torch.testing.assert_close(found.left.T @ found.left, eye, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.right.T @ found.right, eye, rtol=0, atol=1e-4)


def test_rank_of_a_product_is_found() -> None:
    matrix = _random(50, 3) @ _random(3, 20, seed=1)

    assert len(thin_svd(matrix).sigma) == 3


@pytest.mark.parametrize("shape", [(0, 4), (4, 0)])
def test_empty_and_zero_matrices_have_rank_zero(shape: tuple[int, int]) -> None:
    assert thin_svd(torch.zeros(shape)).left.shape == (shape[0], 0)
    assert thin_svd(torch.zeros(3, 5)).right.shape == (5, 0)
    assert sketched_svd(torch.zeros(shape), 2).sigma.shape == (0,)


def test_wide_spread_of_singular_values_stays_orthonormal() -> None:
    left = torch.linalg.qr(_random(40, 40)).Q
    right = torch.linalg.qr(_random(40, 40, seed=1)).Q
    sigma = torch.logspace(0, -5.5, 40)

    found = thin_svd((left * sigma) @ right.T)

    eye = torch.eye(len(found.sigma))
    assert float((found.left.T @ found.left - eye).abs().max()) < 1e-3
    torch.testing.assert_close(found.sigma[:20], sigma[:20], rtol=1e-3, atol=0)


def test_sketch_finds_a_head() -> None:
    matrix = _random(120, 5) @ _random(5, 90, seed=1) + 0.01 * _random(120, 90, seed=2)

    found = sketched_svd(matrix, 5)

    best = thin_svd(matrix)
    torch.testing.assert_close(found.sigma, best.sigma[:5], rtol=1e-4, atol=0)
    assert torch.equal(found.sigma, sketched_svd(matrix, 5).sigma)


def _spectrum(kind: str) -> torch.Tensor:
    """A matrix as deltas are: noise, noise under a head, or falling slowly."""
    noise = _random(520, 640)
    if kind == "noise":
        return noise
    if kind == "head":
        return noise + 4.0 * _random(520, 12, seed=1) @ _random(12, 640, seed=2)
    falling = torch.arange(1.0, 521.0) ** -0.7
    return _random(520, 520, seed=1) * falling @ _random(520, 640, seed=2) + 1e-3 * noise


@pytest.mark.parametrize("kind", ["noise", "head", "falling"])
@pytest.mark.parametrize("rank", [1, 20, 100])
@pytest.mark.parametrize("is_tall", [False, True])
def test_a_sketch_leaves_at_most_a_hundredth_more_than_the_best(
    kind: str, rank: int, is_tall: bool
) -> None:
    matrix = _spectrum(kind).T if is_tall else _spectrum(kind)
    exact = reference_svd(matrix)

    found = sketched_svd(matrix, rank, "layer")

    left = matrix - (found.left * found.sigma) @ found.right.T
    best = float(exact.sigma[rank:].double().square().sum()) ** 0.5
    assert float(torch.linalg.vector_norm(left)) <= 1.01 * best
    assert found.sigma.shape == (rank,)
    assert (found.is_whole, found.n_triples) == (False, 520)
    for vectors in (found.left, found.right):
        gap = vectors.T @ vectors - torch.eye(rank)
        assert float(gap.abs().max()) < 1e-3


def test_a_sketch_follows_from_the_name_and_not_from_the_global_generator() -> None:
    matrix = _spectrum("noise")
    torch.manual_seed(0)
    first = sketched_svd(matrix, 8, "a")
    torch.manual_seed(1)

    assert torch.equal(first.left, sketched_svd(matrix, 8, "a").left)
    assert not torch.equal(first.left, sketched_svd(matrix, 8, "b").left)


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1e20])
def test_tiny_and_huge_deltas_are_sketched_alike(scale: float) -> None:
    matrix = _spectrum("head")

    found, plain = sketched_svd(matrix * scale, 12), sketched_svd(matrix, 12)

    torch.testing.assert_close(found.sigma / scale, plain.sigma, rtol=1e-4, atol=0)


def test_a_sketch_of_few_directions_finds_them_all_and_no_more() -> None:
    matrix = _random(600, 5) @ _random(5, 700, seed=1)

    found = top_svd(matrix, 40)

    assert (len(found.sigma), found.is_whole, found.n_triples) == (5, True, 5)
    torch.testing.assert_close(
        (found.left * found.sigma) @ found.right.T, matrix, rtol=0, atol=1e-3
    )


def test_faint_triples_come_out_beside_strong_ones() -> None:
    left = torch.linalg.qr(_random(540, 30)).Q
    right = torch.linalg.qr(_random(560, 30, seed=1)).Q
    sigma = torch.logspace(0, -4.5, 30)

    found = sketched_svd((left * sigma) @ right.T, 30)

    torch.testing.assert_close(found.sigma, sigma[: len(found.sigma)], rtol=2e-2, atol=0)
    assert len(found.sigma) == 30


def test_what_a_sketch_does_not_reach_is_computed_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deltaworks.numerics.low_rank.sketch._ROUNDS", 0)
    matrix = _spectrum("noise")

    found = sketched_svd(matrix, 9)

    torch.testing.assert_close(found.sigma, reference_svd(matrix).sigma[:9], rtol=1e-5, atol=0)


def test_vectors_that_are_not_orthonormal_are_computed_the_direct_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deltaworks.numerics.low_rank.gram.ORTHOGONAL", 0.0)
    matrix = _random(30, 50)

    found = thin_svd(matrix)

    assert torch.equal(found.sigma, reference_svd(matrix).sigma)


@pytest.mark.parametrize("shape", [(40, 40), (20, 90), (90, 20)])
def test_the_reference_is_what_lapack_says(shape: tuple[int, int]) -> None:
    matrix = _random(*shape)

    found = reference_svd(matrix)

    expected = torch.linalg.svdvals(matrix.double()).float()
    torch.testing.assert_close(found.sigma, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(
        (found.left * found.sigma) @ found.right.T, matrix, rtol=0, atol=1e-4
    )


def test_small_matrices_and_large_ranks_are_decomposed_as_a_whole() -> None:
    assert not prefers_sketch(256, 256, 4)
    assert not prefers_sketch(4096, 4096, 3000)
    assert prefers_sketch(4096, 4096, 128)
    assert prefers_sketch(4096, 11008, 1194)
    assert len(top_svd(_random(30, 40), 3).sigma) == 30


@pytest.fixture
def _all_sizes_go_to_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deltaworks.numerics.low_rank.device._LEAST_SIDE", 1)


@pytest.mark.usefixtures("_all_sizes_go_to_the_device")
@pytest.mark.parametrize("shape", [(3, 20, 30), (2, 30, 20), (1, 5, 5), (0, 4, 4)])
def test_a_stack_is_decomposed_matrix_by_matrix(shape: tuple[int, int, int]) -> None:
    matrices = _random(*shape)

    for link in (None, DeviceLink(HostBackend())):
        with computing_on(link):
            found = batched_svd(matrices)

        assert len(found) == len(matrices)
        for svd, matrix in zip(found, matrices, strict=True):
            again = (svd.left * svd.sigma) @ svd.right.T
            torch.testing.assert_close(again, matrix, rtol=0, atol=1e-4)
            assert svd.is_whole


@pytest.mark.usefixtures("_all_sizes_go_to_the_device")
def test_a_device_gives_the_largest_triples_and_leaves_out_noise() -> None:
    matrices = torch.stack([_random(20, 30), _random(20, 2) @ _random(2, 30), torch.zeros(20, 30)])

    with computing_on(DeviceLink(HostBackend())):
        few = batched_svd(matrices, 4)

    assert [len(svd.sigma) for svd in few] == [4, 2, 0]
    assert [svd.is_whole for svd in few] == [False, True, True]
    torch.testing.assert_close(few[0].sigma, thin_svd(matrices[0]).sigma[:4], rtol=1e-5, atol=0)
