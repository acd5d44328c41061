from __future__ import annotations

import pytest
import torch

from deltaworks.numerics.factors import upper_factor
from deltaworks.numerics.gptq import output_error, round_columns


class Nearest:
    """Rounds to multiples of a step, and writes down what it was shown."""

    def __init__(self, step: float = 1.0) -> None:
        self.step = step
        self.begun: list[tuple[int, int]] = []

    def begin(self, start: int, columns: torch.Tensor, diagonal: torch.Tensor) -> None:
        assert columns.shape[1] == len(diagonal)
        self.begun.append((start, len(diagonal)))

    def round(self, column: int, values: torch.Tensor) -> torch.Tensor:
        return (values / self.step).round() * self.step


def problem(rows: int, size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    inputs = torch.randn(3 * size, size, generator=rng, dtype=torch.float64)
    inputs = inputs @ torch.randn(size, size, generator=rng, dtype=torch.float64)
    gram = inputs.T @ inputs / len(inputs)
    weights = 2 * torch.randn(rows, size, generator=rng, dtype=torch.float64)
    return weights, gram, upper_factor(gram).upper


def slow_rounding(weights: torch.Tensor, gram: torch.Tensor, step: float) -> torch.Tensor:
    """Solve for the later columns after each rounding, from the definition."""
    damped = gram + 0.01 * gram.diagonal().mean() * torch.eye(len(gram)).double()
    left, size = weights.clone(), weights.shape[1]
    for column in range(size):
        rounded = (left[:, column] / step).round() * step
        error = left[:, column] - rounded
        later = slice(column + 1, size)
        if column + 1 < size:
            # The change of later columns that gives least damage for this error.
            best = torch.linalg.solve(damped[later, later], damped[later, column])
            left[:, later] += error[:, None] * best[None, :]
        left[:, column] = rounded
    return left


def test_it_is_the_definition() -> None:
    weights, gram, upper = problem(5, 24, 0)

    found = round_columns(weights, upper, Nearest(0.5))

    torch.testing.assert_close(found, slow_rounding(weights, gram, 0.5))


@pytest.mark.parametrize("block", [1, 2, 7, 24, 128])
def test_blocks_do_not_change_the_result(block: int) -> None:
    weights, _, upper = problem(6, 24, 1)

    found = round_columns(weights, upper, Nearest(0.5), block=block)

    torch.testing.assert_close(
        found, round_columns(weights, upper, Nearest(0.5), block=24), rtol=0, atol=1e-10
    )


def test_uncorrelated_inputs_give_nearest_rounding_bit_for_bit() -> None:
    weights = torch.randn(9, 20)

    found = round_columns(weights, upper_factor(3.0 * torch.eye(20)).upper, Nearest(0.25))

    assert torch.equal(found, (weights / 0.25).round() * 0.25)


@pytest.mark.parametrize("seed", range(20))
def test_outputs_err_less_than_with_nearest_rounding(seed: int) -> None:
    weights, gram, upper = problem(16, 32, seed)

    found = round_columns(weights, upper, Nearest(2.0))

    nearest = (weights / 2.0).round() * 2.0
    assert output_error(weights - found, gram) < output_error(weights - nearest, gram)


def test_masked_entries_stay_zero_and_make_nothing_good() -> None:
    weights, _, upper = problem(8, 16, 3)
    mask = torch.rand(8, 16, generator=torch.Generator().manual_seed(0)) < 0.5

    found = round_columns(weights, upper, Nearest(0.5), mask=mask)

    assert float(found[~mask].abs().max()) == 0.0
    # One row alone, without its masked columns in the way, is what the mask means.
    assert bool((found[mask] != 0).any())


def test_groups_are_shown_in_order_and_the_last_may_be_short() -> None:
    weights, _, upper = problem(3, 22, 4)
    rounder = Nearest()

    round_columns(weights, upper, rounder, group=8, block=16)

    assert rounder.begun == [(0, 8), (8, 8), (16, 6)]


def test_the_input_stays_as_it_was() -> None:
    weights, _, upper = problem(3, 10, 5)
    before = weights.clone()

    round_columns(weights, upper, Nearest())

    assert torch.equal(weights, before)
