from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deltaworks.errors import FileError
from deltaworks.methods.compression import low_rank, sign
from deltaworks.methods.compression.base_shift import (
    METHOD,
    BaseShiftOptions,
    Tuning,
    best_multiple,
    decode,
    encode,
    encode_tuned,
    inner,
)
from deltaworks.numerics.low_rank import Svd, thin_svd

NAMES = ["low-rank", "impart", "dare", "sign"]


@pytest.mark.parametrize("first", NAMES)
@pytest.mark.parametrize("second", NAMES)
def test_no_shift_at_scale_one_is_the_second_method_alone(
    pair_of: Any, gaussian: Any, first: str, second: str
) -> None:
    options = BaseShiftOptions.model_validate({"first": first, "second": second})
    pair = pair_of(gaussian(40, 60), seed=3)

    parts = encode_tuned(pair, options, Tuning(shift=0.0, scale=1.0))

    alone = inner(second, 1.0)
    expected = alone.method.encode(pair, alone.options)
    stored = {name[2:]: part for name, part in parts.items() if name.startswith("c.")}
    assert {name: part.tobytes() for name, part in stored.items()} == {
        name: part.tobytes() for name, part in expected.items()
    }
    assert torch.equal(decode(parts, pair.spec, options), alone.decode(expected, pair.spec))


def test_an_exact_shift_leaves_nothing(pair_of: Any, gaussian: Any) -> None:
    delta = gaussian(30, 50).sign() * 0.125
    pair = pair_of(delta)
    options = BaseShiftOptions(first="sign", second="sign")

    parts = encode(pair, options)

    assert parts["tuning"].tolist() == [1.0, 0.0]
    assert parts["c.scale"].tolist() == [0.0]
    assert torch.equal(decode(parts, pair.spec, options), delta)


@pytest.mark.parametrize("first", NAMES)
def test_the_shift_brings_the_base_nearer(pair_of: Any, laplace: Any, first: str) -> None:
    pair = pair_of(laplace(48, 64))
    options = BaseShiftOptions.model_validate({"first": first, "first_bits": 1.0})

    parts = encode(pair, options)
    shift = float(parts["tuning"][0])
    only_shift = {**parts, "tuning": np.array([1.0, 0.0], dtype=np.float32)}
    towards = decode(only_shift, pair.spec, options)

    def left(multiple: float) -> float:
        return float((pair.delta - multiple * towards).double().norm())

    assert left(shift) <= min(left(0.0), left(1.0)) * (1 + 1e-6)
    assert left(shift) <= min(left(shift * 0.99), left(shift * 1.01))


def test_decoding_equals_the_obvious_way(round_trip: Any, gaussian: Any) -> None:
    delta = gaussian(24, 32)

    parts, decoded = round_trip(METHOD, delta, first_bits=2.0)

    exact = delta.double().numpy()
    left, sigma, right = np.linalg.svd(exact)
    # 2 bits a weight: rank 2 * 24 * 32 / (16 * 56).
    towards = (left[:, :1] * sigma[:1]) @ right[:1]
    shift = (exact * towards).sum() / (towards**2).sum()
    rest = exact - shift * towards
    signs = np.where(rest >= 0, 1.0, -1.0) * np.abs(rest).mean()
    scale = (rest * signs).sum() / (signs**2).sum()
    np.testing.assert_allclose(parts["tuning"], [shift, scale], rtol=1e-3)
    near_zero = np.abs(rest) < 1e-3
    gap = np.abs(decoded.numpy() - (shift * towards + scale * signs))
    assert gap[~near_zero].max() < 3e-3


def test_two_stages_beat_the_first_and_the_second_alone(
    round_trip: Any, error_of: Any, gaussian: Any
) -> None:
    delta = gaussian(80, 2) @ gaussian(2, 80, seed=1) + 0.3 * gaussian(80, 80, seed=2)

    _, both = round_trip(METHOD, delta, first_bits=0.8)
    _, first = round_trip(low_rank.METHOD, delta, bits=0.8)
    _, second = round_trip(sign.METHOD, delta)

    assert error_of(delta, both) < min(error_of(delta, first), error_of(delta, second))


def test_factors_multiply_the_best_numbers(pair_of: Any, gaussian: Any) -> None:
    pair = pair_of(gaussian(32, 32))

    best = encode(pair, BaseShiftOptions(first="dare"))["tuning"]
    half = encode(pair, BaseShiftOptions(first="dare", shift=0.5, scale=0.0))["tuning"]

    assert half.tolist() == pytest.approx([0.5 * best[0], 0.0])


def test_two_random_methods_draw_two_masks(pair_of: Any, gaussian: Any) -> None:
    kw = {"first": "dare", "second": "dare", "first_bits": 1.0, "second_bits": 1.0}
    pair = pair_of(gaussian(32, 32))

    parts = encode(pair, BaseShiftOptions.model_validate(kw))

    assert parts["b.check"].tolist() != parts["c.check"].tolist()


def test_the_shift_shares_the_decomposition(
    pair_of: Any, gaussian: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(matrix: Tensor) -> Svd:
        calls.append(1)
        return thin_svd(matrix)

    monkeypatch.setattr("deltaworks.methods.compression.triples.thin_svd", counted)
    pair = pair_of(gaussian(24, 24))

    low_rank.METHOD.encode(pair, low_rank.LowRankOptions())
    encode(pair, BaseShiftOptions())

    assert len(calls) == 1


def test_the_numbers_must_be_there(pair_of: Any, gaussian: Any) -> None:
    pair = pair_of(gaussian(8, 8))
    parts = encode(pair, BaseShiftOptions())
    del parts["tuning"]

    with pytest.raises(FileError, match=r"^w: part 'tuning' is missing"):
        decode(parts, pair.spec, BaseShiftOptions())


def test_the_best_multiple_is_least_squares() -> None:
    assert best_multiple(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.5])) == 4.0
    assert best_multiple(torch.ones(3), torch.zeros(3)) == 0.0
    assert best_multiple(torch.tensor(6.0), torch.tensor(2.0)) == 3.0
    assert best_multiple(torch.zeros(0, 3), torch.zeros(0, 3)) == 0.0
