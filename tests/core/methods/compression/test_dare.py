from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from deltaworks.errors import FileError, MismatchError
from deltaworks.methods.compression.dare import METHOD, DareOptions
from deltaworks.methods.method import TensorSpec


@pytest.mark.parametrize("mask", ["exact", "bernoulli"])
def test_survivors_are_scaled_up_exactly(round_trip: Any, mask: str) -> None:
    delta = torch.arange(1.0, 1001.0).view(20, 50)

    _, decoded = round_trip(METHOD, delta, drop_rate=0.75, mask=mask)

    kept = decoded != 0
    assert torch.equal(decoded[kept], delta[kept] * 4)
    if mask == "exact":
        assert int(kept.sum()) == 250


@pytest.mark.parametrize("mask", ["exact", "bernoulli"])
def test_nothing_dropped_is_the_delta(round_trip: Any, mask: str, gaussian: Any) -> None:
    delta = gaussian(20, 30).half().float()

    _, decoded = round_trip(METHOD, delta, drop_rate=0.0, mask=mask)

    assert torch.equal(decoded, delta)


@pytest.mark.parametrize("mask", ["exact", "bernoulli"])
def test_mean_over_seeds_is_the_delta(round_trip: Any, mask: str) -> None:
    delta = torch.tensor([[1.0, -2.0, 3.0, 0.5, -0.25, 4.0]])
    n_seeds, drop_rate = 2000, 0.5

    total = torch.zeros(1, 6, dtype=torch.float64)
    for seed in range(n_seeds):
        total += round_trip(METHOD, delta, seed=seed, drop_rate=drop_rate, mask=mask)[1]

    error = delta.double().abs() * (drop_rate / (1 - drop_rate) / n_seeds) ** 0.5
    assert ((total / n_seeds - delta).abs() <= 4 * error).all()


@pytest.mark.parametrize("mask", ["exact", "bernoulli"])
def test_error_is_the_odds_of_being_dropped(
    round_trip: Any, error_of: Any, gaussian: Any, mask: str
) -> None:
    delta = gaussian(512, 512)

    _, decoded = round_trip(METHOD, delta, drop_rate=0.9, mask=mask)
    _, plain = round_trip(METHOD, delta, drop_rate=0.9, mask=mask, rescale=False)

    assert error_of(delta, decoded) == pytest.approx(9.0, rel=0.03)
    assert error_of(delta, plain) == pytest.approx(0.9, rel=0.01)


def test_other_tensors_draw_other_masks(pair_of: Any) -> None:
    options = DareOptions(drop_rate=0.5)
    delta = torch.arange(64.0).view(8, 8)

    one, two = (METHOD.encode(pair_of(delta, name=name), options) for name in ("a", "b"))

    assert one["vals"].tolist() != two["vals"].tolist()


def test_a_stored_mask_gives_the_same_delta(round_trip: Any, gaussian: Any) -> None:
    delta = gaussian(40, 40)

    seeded, one = round_trip(METHOD, delta)
    stored, two = round_trip(METHOD, delta, store_mask=True)

    assert torch.equal(one, two)
    assert set(seeded) == {"vals", "unit", "check"}
    assert {"vals", "unit"} < set(stored)
    assert "check" not in stored


def test_another_seed_is_refused(pair_of: Any, gaussian: Any) -> None:
    parts = METHOD.encode(pair_of(gaussian(16, 16), seed=1), DareOptions())
    assert METHOD.decode is not None

    with pytest.raises(MismatchError, match=r"^w: seed 2 gives another mask"):
        METHOD.decode(parts, TensorSpec("w", (16, 16), seed=2), DareOptions())


def test_a_damaged_stored_mask_is_refused(pair_of: Any, gaussian: Any) -> None:
    options = DareOptions(store_mask=True)
    pair = pair_of(gaussian(16, 16))
    parts = METHOD.encode(pair, options)
    name = "mask" if "mask" in parts else "gaps"
    assert METHOD.decode is not None

    with pytest.raises(FileError, match=r"^w: the mask"):
        METHOD.decode(parts | {name: parts[name][:-1]}, pair.spec, options)


def test_one_weight_always_survives(round_trip: Any) -> None:
    _, decoded = round_trip(METHOD, torch.full((3,), 0.5), drop_rate=0.99)

    assert np.count_nonzero(decoded) == 1
    assert float(decoded.max()) == 1.5
