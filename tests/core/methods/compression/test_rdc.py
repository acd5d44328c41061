"""The rate-distortion codec: oracles C1 to C6 and what every method must hold."""

from typing import Any

import numpy as np
import pytest
import torch

from deltaworks.errors import FileError
from deltaworks.methods.compression import COMPRESSION
from deltaworks.methods.compression.rdc import METHOD, RdcOptions, decode, encode, fit
from deltaworks.methods.compression_record import Parts, TensorPair
from deltaworks.methods.method import TensorSpec


def pair_of(delta: torch.Tensor) -> TensorPair:
    return TensorPair(TensorSpec("w", tuple(delta.shape)), torch.zeros_like(delta), delta)


def bits_and_error(delta: torch.Tensor, **options: Any) -> tuple[float, float]:
    """Bits a weight of all parts; squared error relative to the energy."""
    chosen = RdcOptions(restore=0.0, **options)
    pair = pair_of(delta)
    parts = encode(pair, chosen)
    decoded = decode(parts, pair.spec, chosen)
    bits = 8 * sum(part.nbytes for part in parts.values()) / delta.numel()
    return bits, float((delta - decoded).square().sum() / delta.square().sum())


def draws(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def laplace(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).laplace(size=shape).astype(np.float32))


def test_a_small_step_leaves_errors_below_half_of_it() -> None:
    delta = draws((40, 60))
    options = RdcOptions(step=1e-3, restore=0.0)

    decoded = decode(encode(pair_of(delta), options), pair_of(delta).spec, options)

    assert float((delta - decoded).abs().max()) < 0.75e-3


def test_a_larger_step_takes_fewer_bits_and_errs_more() -> None:
    delta = draws((128, 128))

    found = [bits_and_error(delta, step=step) for step in (0.1, 0.3, 1.0, 2.0, 3.0)]

    bits, errors = zip(*found, strict=True)
    assert list(bits) == sorted(bits, reverse=True)
    assert list(errors) == sorted(errors)


@pytest.mark.parametrize(
    ("delta", "bits", "least", "most"),
    [
        (laplace((512, 512)), 0.5, 0.455, 0.501),  # oracle C4: .486 +- .015
        (draws((512, 512)), 1.0, 0.335, 0.358),  # .348 +- .01
        (laplace((512, 512)), 1.0, 0.20, 0.28),  # sign: .50
    ],
    ids=["laplace-half", "gauss-one", "laplace-one"],
)
def test_error_at_a_rate_is_that_of_theory(
    delta: torch.Tensor, bits: float, least: float, most: float
) -> None:
    taken, error = bits_and_error(delta, bits=bits, head=False)

    assert taken == pytest.approx(bits, abs=0.02)
    assert least <= error * 4.0 ** (taken - bits) <= most


def test_rows_of_different_size_are_coded_by_their_size() -> None:
    sizes = torch.exp(0.5 * draws((512, 1), 1))
    delta = draws((512, 512)) * sizes

    bits, error = bits_and_error(delta, bits=1.0, head=False)

    assert bits == pytest.approx(1.0, abs=0.02)
    assert error <= 0.24


def test_few_directions_are_found_and_coded_by_themselves() -> None:
    delta = draws((256, 4)) @ draws((4, 200), 1) + 0.3 * draws((256, 200), 2)

    with_head = bits_and_error(delta, bits=0.5)
    without = bits_and_error(delta, bits=0.5, head=False)

    assert with_head[1] < 0.5 * without[1]


@pytest.mark.parametrize("bits", [0.25, 0.5, 1.0])
def test_it_beats_sign_and_low_rank_at_their_own_bits(bits: float) -> None:
    delta = draws((200, 12)) @ draws((12, 160), 1) * 0.2 + draws((200, 160), 2)
    pair = pair_of(delta)
    low_rank: Any = COMPRESSION["low-rank"]
    options = low_rank.options(bits=bits)
    parts = low_rank.encode(pair, options)
    error = (delta - low_rank.decode(parts, pair.spec, options)).square().sum()
    stored = 8 * sum(part.nbytes for part in parts.values()) / delta.numel()

    taken, mine = bits_and_error(delta, bits=stored)

    assert taken <= stored * 1.01
    assert mine < float(error / delta.square().sum())


@pytest.mark.parametrize(
    "shape", [(1, 50), (50, 1), (37, 53), (3, 20, 30), (7,), (), (0, 4), (2, 0, 3)]
)
def test_every_shape_comes_back_finite_and_close(shape: tuple[int, ...]) -> None:
    delta = draws(shape)
    options = RdcOptions(bits=8.0)

    decoded = decode(encode(pair_of(delta), options), pair_of(delta).spec, options)

    assert decoded.shape == delta.shape
    assert decoded.dtype == torch.float32
    assert bool(torch.isfinite(decoded).all())


def test_no_change_stores_next_to_nothing_and_comes_back() -> None:
    parts = encode(pair_of(torch.zeros(64, 64)), RdcOptions())

    assert sum(part.nbytes for part in parts.values()) == 0
    assert not decode(parts, TensorSpec("w", (64, 64)), RdcOptions()).any()


def test_a_matrix_of_a_stack_may_be_unchanged() -> None:
    delta = draws((3, 20, 30))
    delta[1] = 0.0
    options = RdcOptions(bits=4.0)

    decoded = decode(encode(pair_of(delta), options), pair_of(delta).spec, options)

    assert not decoded[1].any()
    assert float((decoded[0] - delta[0]).norm() / delta[0].norm()) < 0.3


def test_restoring_brings_the_norm_back_at_one_half() -> None:
    delta = draws((200, 200))
    options = RdcOptions(bits=0.5, restore=0.5)

    decoded = decode(encode(pair_of(delta), options), pair_of(delta).spec, options)

    assert float(decoded.norm() / delta.norm()) == pytest.approx(1.0, abs=0.03)


def test_powers_of_two_scale_exactly() -> None:
    delta = draws((96, 80))

    small = decode(encode(pair_of(delta), RdcOptions()), pair_of(delta).spec, RdcOptions())
    large = decode(encode(pair_of(delta * 64), RdcOptions()), pair_of(delta).spec, RdcOptions())

    assert torch.allclose(large, small * 64, rtol=1e-5, atol=1e-5)


def test_same_input_gives_the_same_bytes() -> None:
    delta = draws((90, 70))

    first, second = (encode(pair_of(delta.clone()), RdcOptions()) for _ in range(2))

    assert list(first) == list(second)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_trained_size_multiplies_the_change_and_costs_no_bits() -> None:
    pair = pair_of(draws((90, 70)))
    trained = pair.with_multiples(np.array([1.25], dtype=np.float32))

    usual, other = encode(pair, RdcOptions()), encode(trained, RdcOptions())

    one = decode(usual, pair.spec, RdcOptions())
    assert torch.allclose(decode(other, pair.spec, RdcOptions()), 1.25 * one, rtol=1e-5)
    assert sum(part.nbytes for part in usual.values()) == sum(p.nbytes for p in other.values())
    assert fit(RdcOptions(steps=0)) is None
    assert fit(RdcOptions(calibrated=False)) is None


def test_step_and_bits_together_are_refused() -> None:
    with pytest.raises(ValueError, match="both chosen"):
        RdcOptions(step=0.1, bits=2.0)


def broken(parts: Parts, name: str, part: np.ndarray) -> Parts:
    return {**parts, name: part}


def test_damaged_parts_are_refused() -> None:
    delta = draws((30, 6)) @ draws((6, 40), 1)
    pair = pair_of(delta)
    parts = encode(pair, RdcOptions(bits=2.0))
    assert "ss" in parts
    blob, side = parts["blob"], parts["tables"]
    for bad in (
        broken(parts, "blob", blob[: len(blob) // 2]),
        broken(parts, "blob", np.append(blob, blob)),
        broken(parts, "tables", side[:5]),
        broken(parts, "tables", side[:-1]),
        broken(parts, "ss", parts["ss"][1:]),
        broken(parts, "rs", np.zeros(7, dtype=np.uint8)),
        broken(parts, "hs", np.zeros(3, dtype=np.uint8)),
        broken(parts, "blob", blob.astype(np.int32)),
        {name: part for name, part in parts.items() if name != "blob"},
    ):
        with pytest.raises(FileError):
            decode(bad, pair.spec, RdcOptions())


def test_expected_bits_are_what_is_stored() -> None:
    delta = draws((256, 256))
    options = RdcOptions(bits=0.5)

    stored = 8 * sum(part.nbytes for part in encode(pair_of(delta), options).values())

    assert METHOD.stored_bits((256, 256), options) == pytest.approx(stored, rel=0.05)
