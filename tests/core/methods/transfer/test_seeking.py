from __future__ import annotations

import numpy as np
import pytest
import torch

from deltaworks.errors import MismatchError
from deltaworks.methods import TRANSFER
from deltaworks.methods.transfer.layers import choose_layers
from deltaworks.methods.transfer.record import Factors
from deltaworks.methods.transfer.seeking import METHOD, SeekingOptions
from deltaworks.methods.transfer.starts import change_of, factors_of, gaussian, random_like, zeroed
from deltaworks.methods.transfer.windows import (
    best_window,
    random_block,
    row_column_block,
    window_block,
)


def brute_force(scores: np.ndarray, rows: int, cols: int) -> tuple[int, int]:
    best, place = -np.inf, (0, 0)
    for top in range(scores.shape[0] - rows + 1):
        for left in range(scores.shape[1] - cols + 1):
            total = scores[top : top + rows, left : left + cols].astype(np.float64).sum()
            if total > best:
                best, place = total, (top, left)
    return place


def test_the_window_of_the_worked_example() -> None:  # O2
    scores = np.array([[1.0, 2, 0], [0, 5, 3], [4, 0, 1]])

    assert best_window(scores, 2, 2) == (0, 1)
    assert best_window(scores, 3, 3) == (0, 0)
    assert window_block(scores, 2, 2).share == 10 / 16


def test_of_equal_windows_the_first_is_taken() -> None:
    scores = np.zeros((4, 5))
    scores[[1, 3], [2, 4]] = 7

    assert best_window(scores, 1, 1) == (1, 2)
    assert best_window(np.ones((5, 5)), 2, 3) == (0, 0)


@pytest.mark.parametrize("seed", range(6))
def test_windows_are_those_of_a_double_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(3, 14, 2))
    scores = rng.random(shape).astype(np.float32)
    rows, cols = int(rng.integers(1, shape[0] + 1)), int(rng.integers(1, shape[1] + 1))

    assert best_window(scores, rows, cols) == brute_force(scores, rows, cols)


def test_small_differences_beside_large_sums_are_seen() -> None:
    scores = np.full((300, 400), 1e4, dtype=np.float32)
    scores[200, 300] += 1e-2

    top, left = best_window(scores, 50, 60)

    assert 151 <= top <= 200
    assert 241 <= left <= 300


def test_rows_and_columns_of_the_highest_mean_stay_in_their_order() -> None:
    scores = np.array([[9.0, 0, 1], [0, 0, 0], [3, 0, 8]])

    block = row_column_block(scores, 2, 2)

    assert block.rows.tolist() == [0, 2]
    assert block.cols.tolist() == [0, 2]
    assert block.share == 1.0


def test_random_windows_depend_on_seed_and_name_alone() -> None:
    scores = np.ones((40, 40))
    places = {(s, n): random_block(scores, 9, 9, s, n).rows[0] for s in (0, 1) for n in "abcd"}

    assert places[0, "a"] == random_block(scores * 2, 9, 9, 0, "a").rows[0]
    assert len(set(places.values())) > 2


def test_a_block_larger_than_its_source_is_refused() -> None:
    with pytest.raises(MismatchError, match="5 x 2 does not fit into 4 x 4"):
        window_block(np.ones((4, 4)), 5, 2)


def test_layers_are_chosen_by_score_and_kept_in_order() -> None:
    scores = [5.0, 1.0, 4.0, 9.0]

    assert choose_layers(scores, 2, 0) == [0, 3]
    assert choose_layers([1.0, 1.0, 1.0], 2, 0) == [0, 1]
    assert choose_layers(scores, 2, 0, "first") == [0, 1]
    assert choose_layers(scores, 2, 0, "last") == [2, 3]
    drawn = {tuple(choose_layers(scores, 2, seed, "random")) for seed in range(30)}
    assert len(drawn) > 3
    assert all(list(one) == sorted(one) for one in drawn)
    with pytest.raises(MismatchError, match="5 layers cannot be taken from 4"):
        choose_layers(scores, 5, 0)


def test_step_zero_is_the_student() -> None:  # O3
    rng = torch.Generator().manual_seed(0)
    weight, extracted = torch.randn(24, 20, generator=rng), torch.randn(24, 20, generator=rng)
    start = METHOD.start(extracted, "w", SeekingOptions(rank=5))

    folded = zeroed(weight, start, 1.0)

    assert (folded + start.product() - weight).abs().max() <= 1e-6
    assert start.left.shape == (24, 5)
    assert torch.allclose(start.right @ start.right.T, torch.eye(5), atol=1e-5)


def test_full_rank_factors_give_the_block_back() -> None:
    block = torch.randn(9, 7, generator=torch.Generator().manual_seed(1))

    for split in ("left", "root"):
        assert torch.allclose(factors_of(block, 99, split=split).product(), block, atol=1e-5)


def test_truncation_is_the_best_of_its_rank() -> None:
    block = torch.randn(12, 10, generator=torch.Generator().manual_seed(2))
    sigma = torch.linalg.svdvals(block.double())

    gap = (factors_of(block, 4).product() - block).double().norm() ** 2

    assert float(gap) == pytest.approx(float((sigma[4:] ** 2).sum()), rel=1e-5)


def test_a_block_of_low_rank_keeps_the_shape_of_its_factors() -> None:
    start = factors_of(torch.ones(6, 5), 3)

    assert (start.left.shape, start.right.shape) == ((6, 3), (3, 5))
    assert torch.allclose(start.product(), torch.ones(6, 5), atol=1e-5)


def test_changes_have_at_most_twice_the_rank() -> None:
    rng = torch.Generator().manual_seed(3)
    start = factors_of(torch.randn(16, 14, generator=rng), 3)
    end = Factors(
        start.left + 0.1 * torch.randn(16, 3, generator=rng),
        start.right + 0.1 * torch.randn(3, 14, generator=rng),
    )

    change = change_of(start, end, 0.5)

    exact = 0.5 * (end.product() - start.product())
    assert change.left.shape[1] == 6
    assert torch.allclose(change.product(), exact, atol=1e-6)
    assert int(torch.linalg.matrix_rank(change.product())) <= 6


def test_gaussian_starts_at_zero_and_needs_no_second_half() -> None:
    start = gaussian((16, 25), 4, 0, "w")

    assert not start.left.any()
    assert float(start.right.abs().max()) <= 0.2
    assert float(start.right.std()) == pytest.approx(0.2 / 3**0.5, rel=0.2)
    assert change_of(start, Factors(torch.ones(16, 4), start.right), 1.0).left.shape[1] == 4


def test_the_random_control_has_the_norm_and_no_direction() -> None:
    start = factors_of(torch.randn(64, 48, generator=torch.Generator().manual_seed(4)), 6)

    other = random_like(start, 0, "w")

    assert float(other.product().norm()) == pytest.approx(float(start.product().norm()), rel=1e-5)
    assert torch.allclose(other.right @ other.right.T, torch.eye(6), atol=1e-5)
    cosine = torch.cosine_similarity(other.product().flatten(), start.product().flatten(), dim=0)
    assert abs(float(cosine)) < 0.1
    assert torch.equal(other.left, random_like(start, 0, "w").left)


def test_the_table_finds_the_method() -> None:
    assert TRANSFER["seeking"] is METHOD
    assert METHOD.layers([1.0, 3.0, 2.0], 2, 0, SeekingOptions()) == [1, 2]
    scores = np.array([[1.0, 2, 0], [0, 5, 3], [4, 0, 1]])
    for mode in ("window", "rows-columns", "random"):
        block = METHOD.block(scores, (2, 2), 0, "w", SeekingOptions(structure=mode))
        assert len(block.rows) == len(block.cols) == 2
