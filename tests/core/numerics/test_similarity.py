from __future__ import annotations

import numpy as np
import pytest

from deltaworks.errors import OptionError
from deltaworks.numerics.similarity import cosine, linear_cka, start_cosines


def test_closed_forms_of_the_cosines() -> None:  # O4
    weight = np.diag([3.0, 4.0])

    assert start_cosines(np.diag([0.0, 4.0]), weight) == pytest.approx((0.8, 0.0))
    low = np.array([[0.0, 0.0], [2.0, 0.0]])
    assert start_cosines(low, weight) == pytest.approx((0.0, -2 / 29**0.5))
    assert cosine(np.zeros((2, 2)), weight) == 0.0


def test_cosines_of_a_truncation_follow_from_its_singular_values() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((20, 12))
    u, sigma, v = np.linalg.svd(weight, full_matrices=False)

    with_weight, with_rest = start_cosines(u[:, :3] * sigma[:3] @ v[:3], weight)

    assert with_weight == pytest.approx(np.sqrt((sigma[:3] ** 2).sum() / (sigma**2).sum()))
    assert with_rest == pytest.approx(0.0, abs=1e-12)


def test_cka_of_the_worked_example() -> None:  # O5
    x = np.array([[1.0, 0], [0, 1], [-1, -1]])
    y = np.array([[1.0], [0], [-1]])

    assert linear_cka(x, y) == pytest.approx(5 / (10**0.5 * 2))


def test_cka_does_not_see_rotation_scale_and_offset() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((30, 7))
    turn = np.linalg.qr(rng.standard_normal((7, 7)))[0]

    assert linear_cka(x, 3 * x @ turn + rng.standard_normal(7)) == pytest.approx(1.0)
    assert linear_cka(x, x, unbiased=True) == pytest.approx(1.0)


def test_columns_that_are_orthogonal_once_centred_give_nothing() -> None:
    x = np.array([[1.0], [-1], [1], [-1]])
    y = np.array([[1.0], [1], [-1], [-1]])

    assert linear_cka(x, y + 5) == pytest.approx(0.0)
    assert linear_cka(x, np.ones((4, 2))) == 0.0


def test_features_and_grams_give_the_same() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((20, 6)), rng.standard_normal((20, 5))

    wide = np.concatenate([x, np.zeros((20, 30))], axis=1)  # more columns than rows: by Grams

    assert linear_cka(wide, y) == pytest.approx(linear_cka(x, y), abs=1e-6)


def test_only_the_unbiased_estimate_of_noise_is_zero_on_average() -> None:
    rng = np.random.default_rng(3)
    pairs = [(rng.standard_normal((24, 12)), rng.standard_normal((24, 12))) for _ in range(60)]

    assert abs(np.mean([linear_cka(x, y, unbiased=True) for x, y in pairs])) < 0.03
    assert np.mean([linear_cka(x, y) for x, y in pairs]) > 0.2


def test_the_unbiased_estimate_is_the_sum_over_distinct_inputs() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))

    def hsic(a: np.ndarray, b: np.ndarray) -> float:
        # U-statistic over quadruples of distinct inputs.
        k, m, n, total, count = a @ a.T, b @ b.T, len(a), 0.0, 0
        for i, j, q, r in np.ndindex(n, n, n, n):
            if len({i, j, q, r}) == 4:
                total += k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
                count += 1
        return total / count

    wanted = hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))

    assert linear_cka(x, y, unbiased=True) == pytest.approx(wanted)


def test_too_few_or_unequal_inputs_are_refused() -> None:
    with pytest.raises(OptionError, match="3 and 3 inputs"):
        linear_cka(np.eye(3), np.eye(3), unbiased=True)
    with pytest.raises(OptionError, match="3 and 2 inputs"):
        linear_cka(np.eye(3), np.ones((2, 3)))
