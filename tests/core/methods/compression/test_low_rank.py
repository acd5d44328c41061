from __future__ import annotations

from typing import Any

import pytest
import torch

from deltaworks.errors import OptionError
from deltaworks.methods.compression.low_rank import METHOD, LowRankOptions, rank_for
from deltaworks.numerics.matrices import Stack
from deltaworks.options import read_options


def test_error_is_the_tail_of_the_spectrum(round_trip: Any, error_of: Any, gaussian: Any) -> None:
    delta = gaussian(60, 90)
    energies = torch.linalg.svdvals(delta.double()).square()

    for rank in (1, 7, 30):
        _, decoded = round_trip(METHOD, delta, rank=rank)

        tail = float(energies[rank:].sum() / energies.sum())
        assert error_of(delta, decoded) == pytest.approx(tail, rel=1e-5)


def test_a_delta_of_that_rank_comes_back(round_trip: Any, error_of: Any, gaussian: Any) -> None:
    delta = 1e-5 * gaussian(50, 4) @ gaussian(4, 33, seed=1)

    _, decoded = round_trip(METHOD, delta, rank=4)

    assert error_of(delta, decoded) < 1e-6


def test_factors_multiply_to_the_truncation(round_trip: Any, gaussian: Any) -> None:
    delta = gaussian(20, 30)

    parts, decoded = round_trip(METHOD, delta, rank=3)

    assert (parts["A"].shape, parts["B"].shape) == ((3, 30), (20, 3))
    product = parts["B"].astype("f8") @ parts["A"].astype("f8") * parts["unit"]
    torch.testing.assert_close(decoded, torch.from_numpy(product).float(), rtol=1e-4, atol=1e-5)
    left, sigma, right = torch.linalg.svd(delta.double(), full_matrices=False)
    best = (left[:, :3] * sigma[:3]) @ right[:3]
    torch.testing.assert_close(decoded, best.float(), rtol=0, atol=3e-3)


@pytest.mark.parametrize(
    ("rows", "cols", "bits", "rank"),
    [(4096, 4096, 1.0, 128), (11008, 4096, 1.0, 186), (8, 8, 0.1, 1), (64, 64, 16.0, 32)],
)
def test_rank_follows_from_the_budget(rows: int, cols: int, bits: float, rank: int) -> None:
    assert rank_for(Stack(1, rows, cols), LowRankOptions(bits=bits)) == rank


def test_nothing_that_is_chosen_is_ignored() -> None:
    assert read_options(LowRankOptions, {"rank": 8}, where="x").rank == 8

    with pytest.raises(OptionError, match=r"x: rank 8 and bits 2 are both chosen; give one"):
        read_options(LowRankOptions, {"rank": 8, "bits": 2}, where="x")


def test_the_option_of_earlier_versions_is_explained() -> None:
    with pytest.raises(OptionError, match="option 'budget' is no more: a rank above 0 decides"):
        read_options(LowRankOptions, {"budget": "rank", "rank": 8}, where="x")


def test_rank_is_at_most_what_there_is() -> None:
    assert rank_for(Stack(1, 5, 9), LowRankOptions(rank=100)) == 5
    assert rank_for(Stack(1, 0, 9), LowRankOptions()) == 0


def test_bits_stay_in_the_budget(round_trip: Any, gaussian: Any) -> None:
    parts, _ = round_trip(METHOD, gaussian(96, 160), bits=1.5)

    assert 8 * (parts["A"].nbytes + parts["B"].nbytes) <= 1.5 * 96 * 160


def test_the_sketch_is_nearly_as_good(round_trip: Any, error_of: Any, gaussian: Any) -> None:
    delta = gaussian(200, 5) @ gaussian(5, 150, seed=1) + 0.1 * gaussian(200, 150, seed=2)

    _, exact = round_trip(METHOD, delta, rank=5, solver="exact")
    _, sketch = round_trip(METHOD, delta, rank=5, solver="sketch")

    assert error_of(delta, sketch) <= 1.001 * error_of(delta, exact)


def test_every_matrix_of_a_stack_is_decomposed(
    round_trip: Any, error_of: Any, gaussian: Any
) -> None:
    delta = gaussian(3, 20, 2) @ gaussian(3, 2, 25, seed=1)

    parts, decoded = round_trip(METHOD, delta, rank=2)

    assert parts["A"].shape == (3, 2, 25)
    assert error_of(delta, decoded) < 1e-6
