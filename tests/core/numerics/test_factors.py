from __future__ import annotations

import pytest
import torch

from deltaworks.errors import AppError, NotFiniteError
from deltaworks.numerics.factors import upper_factor


def correlated(size: int, seed: int = 0, tokens: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    mixed = torch.randn(size, size, generator=rng, dtype=torch.float64)
    rows = torch.randn(tokens or 4 * size, size, generator=rng, dtype=torch.float64) @ mixed
    return rows.T @ rows / len(rows)


def test_a_worked_case() -> None:
    gram = torch.tensor([[2.0, 1.0], [1.0, 1.0]], dtype=torch.float64)

    upper = upper_factor(gram, damping=0.0).upper

    torch.testing.assert_close(upper, torch.tensor([[1.0, -1.0], [0.0, 1.0]], dtype=torch.float64))


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_it_is_the_factor_of_the_inverse(size: int) -> None:
    gram = correlated(size)
    slow = torch.linalg.cholesky(torch.linalg.inv(gram), upper=True)

    found = upper_factor(gram, damping=0.0)

    # The inverse of the slow way is what is less exact.
    torch.testing.assert_close(found.upper, slow, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(
        found.upper.T @ found.upper @ gram, torch.eye(size).double(), rtol=0, atol=1e-9
    )


def test_damping_adds_a_share_of_the_mean_diagonal() -> None:
    gram = correlated(6)
    level = 0.01 * float(gram.diagonal().mean())

    found = upper_factor(gram, damping=0.01).upper

    wanted = upper_factor(gram + level * torch.eye(6).double(), damping=0.0).upper
    torch.testing.assert_close(found, wanted)


def test_diagonal_input_gives_a_diagonal_factor() -> None:
    gram = torch.diag(torch.tensor([1.0, 4.0, 9.0, 0.25]))

    found = upper_factor(gram, damping=0.0).upper

    torch.testing.assert_close(found, torch.diag(torch.tensor([1.0, 0.5, 1 / 3, 2.0])))


def test_dead_inputs_are_told_and_raised_to_the_mean() -> None:
    gram = torch.diag(torch.tensor([2.0, 0.0, 4.0]))

    found = upper_factor(gram, damping=0.0)

    assert found.dead.tolist() == [False, True, False]
    assert found.n_dead == 1
    assert float(found.upper[1, 1]) == pytest.approx((1 / 2.0) ** 0.5)


def test_a_singular_matrix_takes_more_damping() -> None:
    gram = correlated(30, tokens=3).float()
    gram -= 0.05 * gram.diagonal().mean() * torch.eye(30)

    found = upper_factor(gram)

    assert found.damping == pytest.approx(0.1)


def test_what_cannot_be_mended_is_said_with_its_place() -> None:
    gram = -100.0 * torch.eye(4) + 100.5 * torch.ones(4, 4)

    with pytest.raises(AppError, match=r"layer 3, 17 tokens: .*positive definite"):
        upper_factor(gram - 50 * torch.ones(4, 4), where="layer 3, 17 tokens")


def test_nan_is_refused() -> None:
    with pytest.raises(NotFiniteError):
        upper_factor(torch.full((2, 2), float("nan")))


def test_the_input_stays_as_it_was() -> None:
    gram = correlated(5).float()
    before = gram.clone()

    upper_factor(gram)

    assert torch.equal(gram, before)
