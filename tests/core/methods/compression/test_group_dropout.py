from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaworks.errors import FileError, MismatchError
from deltaworks.methods.compression.group_dropout import (
    METHOD,
    GroupDropoutOptions,
    decode,
    encode,
    kept_a_row,
)
from deltaworks.methods.compression_record import TensorPair
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.group_masks import group_masks
from deltaworks.numerics.matrices import Stack

WIDTHS = ["16", "8", "4", "2"]


def test_survivors_are_scaled_up_exactly(round_trip: Any) -> None:
    delta = torch.arange(1.0, 1025.0).view(4, 256)

    _, decoded = round_trip(METHOD, delta, drop_rate=0.75, group_size=64, bits="16")

    kept = decoded != 0
    assert torch.equal(decoded[kept], delta[kept] * 4)


@pytest.mark.parametrize("bits", WIDTHS)
def test_every_group_keeps_the_same_number(round_trip: Any, laplace: Any, bits: str) -> None:
    delta = laplace(30, 256) + 20

    _, decoded = round_trip(METHOD, delta, group_size=32, bits=bits)

    assert set((decoded != 0).view(30, 8, 32).sum(dim=2).flatten().tolist()) == {4}


def test_nothing_dropped_is_the_delta(round_trip: Any, gaussian: Any) -> None:
    delta = gaussian(20, 30).half().float()

    _, decoded = round_trip(METHOD, delta, drop_rate=0.0, bits="16", group_size=7)

    assert torch.equal(decoded, delta)


def test_mean_over_seeds_is_the_delta(round_trip: Any) -> None:
    delta = torch.tensor([[1.0, -2.0, 3.0, 0.5, -0.25, 4.0, 1.5]])
    n_seeds = 2000

    total = torch.zeros(1, 7, dtype=torch.float64)
    for seed in range(n_seeds):
        total += round_trip(METHOD, delta, seed=seed, drop_rate=0.5, group_size=4, bits="16")[1]

    # Groups of 4 and 3 keep 2: the odds of being dropped are 1 and 1/2.
    error = delta.double().abs() / n_seeds**0.5
    assert ((total / n_seeds - delta).abs() <= 4 * error).all()


def test_error_is_the_odds_of_being_dropped(round_trip: Any, error_of: Any, gaussian: Any) -> None:
    delta = gaussian(256, 640)
    kw = {"group_size": 640, "bits": "16"}

    _, decoded = round_trip(METHOD, delta, drop_rate=0.9, **kw)
    _, plain = round_trip(METHOD, delta, drop_rate=0.9, rescale=False, **kw)

    assert error_of(delta, decoded) == pytest.approx(9.0, rel=0.03)
    assert error_of(delta, plain) == pytest.approx(0.9, rel=0.01)


@pytest.mark.parametrize("scale", ["matrix", "row"])
@pytest.mark.parametrize("bits", WIDTHS[1:])
def test_codes_are_within_half_a_step(
    round_trip: Any, gaussian: Any, bits: str, scale: str
) -> None:
    delta = gaussian(2, 30, 64) * 1e-4

    _, decoded = round_trip(METHOD, delta, drop_rate=0.0, bits=bits, scale=scale)

    dims = (1, 2) if scale == "matrix" else (2,)
    ranges = delta.amax(dims, keepdim=True) - delta.amin(dims, keepdim=True)
    step = ranges / ((1 << int(bits)) - 1)
    assert ((decoded - delta).abs() <= 0.5 * step + 1e-3 * ranges).all()


def test_more_bits_follow_the_delta_better(round_trip: Any, error_of: Any, gaussian: Any) -> None:
    delta = gaussian(64, 64)

    errors = [
        error_of(delta, round_trip(METHOD, delta, drop_rate=0.0, bits=bits)[1]) for bits in WIDTHS
    ]

    assert errors == sorted(errors)
    assert errors[0] < 1e-6


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 50),
    st.integers(1, 20),
    st.sampled_from(WIDTHS),
    st.sampled_from(["matrix", "row"]),
    st.floats(0.0, 0.95),
)
def test_decoding_equals_the_obvious_way(
    rows: int, cols: int, size: int, bits: str, scale: str, drop_rate: float
) -> None:
    delta = torch.randn(rows, cols, generator=torch.Generator().manual_seed(rows * 64 + cols))
    options = GroupDropoutOptions.model_validate(
        {"drop_rate": drop_rate, "group_size": size, "bits": bits, "scale": scale}
    )
    pair = TensorPair(TensorSpec("w", (rows, cols)), None, delta)

    decoded = decode(encode(pair, options), pair.spec, options)

    exact = delta.double().numpy()
    mask = group_masks(0, "w", rows, cols, size, 1 - drop_rate)
    assert not decoded.numpy()[~mask].any()
    for row in range(rows):
        shared = exact[row][mask[row]] if scale == "row" else exact[mask]
        low, high = shared.min(), shared.max()
        step = (high - low) / ((1 << int(bits)) - 1) if bits != "16" else 0.0
        for start in range(0, cols, size):
            piece = slice(start, min(start + size, cols))
            share = mask[row, piece].mean()
            for col in np.flatnonzero(mask[row, piece]) + start:
                value = exact[row, col]
                if step > 0:
                    # Halfway between two steps, either is nearest: compare how far they are.
                    value = low + round((value - low) / step) * step
                gap = abs(decoded[row, col].item() * share - exact[row, col])
                assert gap <= abs(value - exact[row, col]) + 2e-3 * max(abs(low), abs(high))


def test_a_stored_mask_gives_the_same_delta(round_trip: Any, gaussian: Any) -> None:
    delta = gaussian(40, 300)

    seeded, one = round_trip(METHOD, delta)
    stored, two = round_trip(METHOD, delta, store_mask=True)

    assert torch.equal(one, two)
    assert set(seeded) == {"q", "scale", "unit", "check"}
    assert "check" not in stored


def test_another_seed_is_refused(pair_of: Any, gaussian: Any) -> None:
    parts = encode(pair_of(gaussian(16, 16), seed=1), GroupDropoutOptions())

    with pytest.raises(MismatchError, match=r"^w: seed 2 gives another mask"):
        decode(parts, TensorSpec("w", (16, 16), seed=2), GroupDropoutOptions())


def test_a_stored_mask_of_other_counts_is_refused(pair_of: Any, gaussian: Any) -> None:
    options = GroupDropoutOptions(store_mask=True, drop_rate=0.5)
    pair = pair_of(gaussian(4, 16))
    parts = encode(pair, options)
    broken = parts["mask"].copy()
    broken[0] ^= 1

    with pytest.raises(FileError, match=r"^w: the mask does not keep 8 values"):
        decode(parts | {"mask": broken}, pair.spec, options)


def test_the_size_is_known_from_the_shape(pair_of: Any, gaussian: Any) -> None:
    for bits in WIDTHS:
        for scale in ("matrix", "row"):
            options = GroupDropoutOptions.model_validate({"bits": bits, "scale": scale})
            parts = encode(pair_of(gaussian(3, 20, 200)), options)

            stored = 8 * sum(part.nbytes for part in parts.values())
            assert stored == METHOD.stored_bits((3, 20, 200), options)


def test_bits_may_be_written_as_a_number() -> None:
    assert GroupDropoutOptions.model_validate({"bits": 8}).width == 8
    assert kept_a_row(Stack(1, 1, 300), GroupDropoutOptions()) == 13 + 13 + 5
