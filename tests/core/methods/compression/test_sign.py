from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaworks.methods.compression.sign import METHOD, SignOptions, decode, encode
from deltaworks.methods.compression_record import TensorPair
from deltaworks.methods.method import TensorSpec


def test_hand_computed_case(round_trip: Any) -> None:
    delta = torch.tensor([[1.0, -2.0, 0.0], [-0.0, 4.0, -5.0]])

    parts, decoded = round_trip(METHOD, delta)

    assert parts["sign"].tolist() == [[0b101], [0b011]]
    assert parts["scale"].tolist() == [2.0]
    assert decoded.tolist() == [[2.0, -2.0, 2.0], [2.0, 2.0, -2.0]]


def test_scales_per_row_and_per_group(round_trip: Any) -> None:
    delta = torch.arange(1.0, 21.0).view(2, 10)

    rows, _ = round_trip(METHOD, delta, scale="row")
    groups, decoded = round_trip(METHOD, delta, scale="group", group_size=8)

    assert rows["scale"].tolist() == [5.5, 15.5]
    assert groups["scale"].tolist() == [[4.5, 9.5], [14.5, 19.5]]
    assert decoded[0].tolist() == [4.5] * 8 + [9.5] * 2


def test_every_matrix_of_a_stack_has_its_scale(round_trip: Any) -> None:
    delta = torch.stack([torch.full((3, 4), 1.0), torch.full((3, 4), -7.0)])

    parts, decoded = round_trip(METHOD, delta)

    assert parts["scale"].tolist() == [1.0, 7.0]
    assert torch.equal(decoded, delta)


def test_scale_is_the_best_one(round_trip: Any, gaussian: Any) -> None:
    delta = gaussian(64, 64)

    parts, decoded = round_trip(METHOD, delta)

    best = float((delta - decoded).square().sum())
    assert float(parts["scale"][0]) == pytest.approx(float(delta.abs().double().mean()), rel=1e-6)
    for factor in (0.99, 1.01):
        assert float((delta - decoded * factor).square().sum()) > best


def test_error_is_the_closed_form(round_trip: Any, error_of: Any, laplace: Any) -> None:
    delta = laplace(200, 300)

    _, decoded = round_trip(METHOD, delta)

    exact = delta.double()
    expected = 1 - float(exact.abs().mean() ** 2 / exact.square().mean())
    assert error_of(delta, decoded) == pytest.approx(expected, abs=1e-6)


def test_constant_magnitude_is_exact(round_trip: Any, gaussian: Any) -> None:
    delta = gaussian(30, 50).sign() * 0.125

    _, decoded = round_trip(METHOD, delta)

    assert torch.equal(decoded, delta)


def test_errors_of_known_distributions(
    round_trip: Any, error_of: Any, gaussian: Any, laplace: Any
) -> None:
    normal, heavy = gaussian(1024, 1024), laplace(1024, 1024)

    assert error_of(normal, round_trip(METHOD, normal)[1]) == pytest.approx(0.3634, abs=0.003)
    assert error_of(heavy, round_trip(METHOD, heavy)[1]) == pytest.approx(0.5, abs=0.005)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 20),
    st.integers(1, 40),
    st.sampled_from(["matrix", "row", "group"]),
    st.integers(0, 99),
)
def test_decoding_equals_the_obvious_way(rows: int, cols: int, scale: str, seed: int) -> None:
    delta = torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed))
    options = SignOptions.model_validate({"scale": scale, "group_size": 8})
    pair = TensorPair(TensorSpec("w", (rows, cols)), torch.zeros(rows, cols), delta)

    decoded = decode(encode(pair, options), pair.spec, options)

    exact = delta.double().numpy()
    means = np.empty_like(exact)
    width = {"matrix": cols, "row": cols, "group": 8}[scale]
    for row in range(rows):
        for start in range(0, cols, width):
            means[row, start : start + width] = np.abs(exact[row, start : start + width]).mean()
    if scale == "matrix":
        means[:] = np.abs(exact).mean()
    expected = np.where(exact >= 0, means, -means)
    np.testing.assert_allclose(decoded.numpy(), expected, rtol=1e-6)


def test_one_bit_a_weight(round_trip: Any, gaussian: Any) -> None:
    parts, _ = round_trip(METHOD, gaussian(64, 128))

    assert 8 * sum(part.nbytes for part in parts.values()) == 64 * 128 + 32
    assert METHOD.payload_bits(parts, TensorSpec("w", (64, 128)), SignOptions()) == 64 * 128
