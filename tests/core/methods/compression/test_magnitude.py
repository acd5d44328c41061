from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaworks.errors import FileError
from deltaworks.methods.compression.magnitude import METHOD, MagnitudeOptions, decode, encode
from deltaworks.methods.compression_record import TensorPair
from deltaworks.methods.method import TensorSpec


def test_hand_computed_case(round_trip: Any) -> None:
    delta = torch.tensor([[0.5, -3.0, 1.0, 2.0], [0.0, 0.25, -4.0, 1.5]])

    parts, decoded = round_trip(METHOD, delta, density=0.5)

    assert decoded.tolist() == [[0.0, -3.0, 0.0, 2.0], [0.0, 0.0, -4.0, 1.5]]
    assert len(parts["vals"]) == 4


def test_ties_are_kept_from_the_first_on(round_trip: Any) -> None:
    _, decoded = round_trip(METHOD, torch.tensor([[1.0, -1.0, 1.0, 1.0, 2.0]]), density=0.6)

    assert decoded.tolist() == [[1.0, -1.0, 0.0, 0.0, 2.0]]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 15), st.integers(1, 30), st.floats(0.01, 1.0), st.integers(0, 99))
def test_count_is_exact_and_nothing_larger_is_dropped(
    rows: int, cols: int, density: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    delta = torch.from_numpy(rng.integers(-4, 5, (rows, cols)).astype(np.float32))
    pair = TensorPair(TensorSpec("w", (rows, cols)), torch.zeros(rows, cols), delta)
    options = MagnitudeOptions(density=density)

    parts = encode(pair, options)
    decoded = decode(parts, pair.spec, options)

    count = len(parts["vals"])
    assert count == max(1, rows * cols - int((1 - density) * rows * cols + 1e-6))
    kept = torch.sort(delta.abs().flatten(), descending=True).values[:count]
    assert torch.equal(torch.sort(decoded.abs().flatten(), descending=True).values[:count], kept)
    assert torch.equal(decoded[decoded != 0], delta[decoded != 0])


def test_errors_of_known_distributions(
    round_trip: Any, error_of: Any, gaussian: Any, laplace: Any
) -> None:
    normal, heavy = gaussian(512, 512), laplace(512, 512)

    assert error_of(normal, round_trip(METHOD, normal)[1]) == pytest.approx(0.561, abs=0.01)
    assert error_of(heavy, round_trip(METHOD, heavy)[1]) == pytest.approx(0.405, abs=0.01)


def test_error_falls_with_density(round_trip: Any, error_of: Any, gaussian: Any) -> None:
    delta = gaussian(64, 64)

    errors = [
        error_of(delta, round_trip(METHOD, delta, density=density)[1])
        for density in (0.02, 0.1, 0.5, 1.0)
    ]

    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-6


def test_plan_is_near_the_stored_size(round_trip: Any, gaussian: Any) -> None:
    for density in (0.02, 0.1, 0.5):
        parts, _ = round_trip(METHOD, gaussian(400, 500), density=density)

        stored = 8 * sum(part.nbytes for part in parts.values())
        planned = METHOD.stored_bits((400, 500), MagnitudeOptions(density=density))
        assert stored == pytest.approx(planned, rel=0.06)


def test_a_mask_of_another_count_is_refused(pair_of: Any, gaussian: Any) -> None:
    options = MagnitudeOptions(density=0.5)
    pair = pair_of(gaussian(16, 16))
    parts = encode(pair, options)
    assert "mask" in parts

    with pytest.raises(FileError, match="the mask keeps 0 values, not 128"):
        decode(parts | {"mask": np.zeros(32, dtype=np.uint8)}, pair.spec, options)
