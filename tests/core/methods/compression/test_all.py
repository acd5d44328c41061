"""What holds for every compression method and every choice of its options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deltaworks.errors import AppError, FileError, MismatchError, NotFiniteError
from deltaworks.methods import COMPRESSION
from deltaworks.methods.compression import low_rank
from deltaworks.methods.compression.applying import restore_tensor
from deltaworks.methods.compression_record import CompressionMethod, TensorPair
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.low_rank import Svd, thin_svd
from deltaworks.options import describe

SHAPES = [(), (1,), (7,), (0,), (0, 5), (5, 0), (1, 9), (9, 1), (37, 53), (64, 48)]
DEEP = [(3, 17, 20), (0, 4, 4), (2, 3, 4, 5)]
PART_DTYPES = {np.dtype(name) for name in ("u1", "i4", "i8", "f2", "f4")}
METHODS_BY_SVD = {"impart", "impart-qt", "base-shift"}
LOSSY = [method for method in COMPRESSION.values() if not method.is_exact]


def _choices() -> list[Any]:
    """Defaults, and every option changed once."""
    found = []
    for method in COMPRESSION.values():
        tried: list[dict[str, Any]] = [{}]
        for info in describe(method.options):
            values: Any = info.choices or info.sweep
            if info.kind == "flag":
                values = (not info.default,)
            tried += [{info.name: value} for value in values if value != info.default]
        found += [pytest.param(method, kw, id=f"{method.id}-{kw}") for kw in tried]
    return found


def _is_random(method: CompressionMethod, options: Any) -> bool:
    """A method made of two others is random when one of them is."""
    if method.id == "base-shift":
        return COMPRESSION[options.first].is_random or COMPRESSION[options.second].is_random
    return method.is_random


def _pair(shape: tuple[int, ...], *, size: float = 0.01, seed: int = 0) -> TensorPair:
    rng = torch.Generator().manual_seed(11)
    base = (torch.randn(shape, generator=rng) * 0.05).bfloat16()
    tuned = (base.float() + size * torch.randn(shape, generator=rng)).bfloat16()
    return TensorPair(TensorSpec("w", shape, seed), base, tuned)


def _read_only(part: np.ndarray) -> np.ndarray:
    """As a mapped file gives it."""
    view = part.copy()
    view.flags.writeable = False
    return view


def _stored_bits(parts: dict[str, np.ndarray]) -> int:
    return 8 * sum(part.nbytes for part in parts.values())


@pytest.mark.parametrize(("method", "kw"), _choices())
def test_every_shape_comes_back_with_true_sizes(
    method: CompressionMethod, kw: dict[str, Any]
) -> None:
    options = method.options(**kw)
    for shape in SHAPES + DEEP:
        pair = _pair(shape)

        parts = method.encode(pair, options)
        restored = restore_tensor(method, parts, pair.base, pair.spec, options, "BF16")

        assert (tuple(restored.shape), restored.dtype) == (shape, torch.bfloat16)
        assert torch.isfinite(restored).all()
        assert {part.dtype for part in parts.values()} <= PART_DTYPES
        payload = method.payload_bits(parts, pair.spec, options)
        assert 0 <= payload <= _stored_bits(parts)


@pytest.mark.parametrize(("method", "kw"), _choices())
def test_no_change_stays_no_change(method: CompressionMethod, kw: dict[str, Any]) -> None:
    options = method.options(**kw)
    for shape in SHAPES + DEEP:
        pair = _pair(shape, size=0.0)

        parts = method.encode(pair, options)
        restored = restore_tensor(method, parts, pair.base, pair.spec, options, "BF16")

        assert torch.equal(restored, pair.tuned)


@pytest.mark.parametrize(("method", "kw"), _choices())
def test_inputs_stay_unchanged(method: CompressionMethod, kw: dict[str, Any]) -> None:
    pair = _pair((40, 24))
    assert pair.base is not None
    before = pair.base.clone(), pair.tuned.clone(), pair.delta.clone()
    options = method.options(**kw)

    parts = method.encode(pair, options)
    kept = {name: part.copy() for name, part in parts.items()}
    parts = {name: _read_only(part) for name, part in parts.items()}
    restore_tensor(method, parts, pair.base, pair.spec, options, "BF16")

    assert torch.equal(pair.base, before[0])
    assert torch.equal(pair.tuned, before[1])
    assert torch.equal(pair.delta, before[2])
    assert all(np.array_equal(kept[name], part) for name, part in parts.items())


@pytest.mark.parametrize(("method", "kw"), _choices())
def test_a_seed_gives_the_same_bytes_and_only_random_methods_mind_it(
    method: CompressionMethod, kw: dict[str, Any]
) -> None:
    options = method.options(**kw)
    # A ratio leaves little of a small matrix: not more than what is never drawn.
    shape = (400, 400) if METHODS_BY_SVD & {method.id} else (40, 24)

    def coded(seed: int) -> dict[str, bytes]:
        parts = method.encode(_pair(shape, seed=seed), options)
        return {name: part.tobytes() for name, part in parts.items()}

    assert coded(5) == coded(5)
    assert (coded(5) == coded(6)) is not _is_random(method, options)


@pytest.mark.parametrize("method", LOSSY, ids=lambda method: method.id)
def test_powers_of_two_scale_exactly(
    method: CompressionMethod, round_trip: Any, gaussian: Callable[..., Tensor]
) -> None:
    delta = gaussian(40, 56)
    _, plain = round_trip(method, delta)

    for factor in (2.0**-30, 2.0**-11, 64.0):
        _, scaled = round_trip(method, delta * factor)

        torch.testing.assert_close(scaled / factor, plain, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("method", LOSSY, ids=lambda method: method.id)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_deltas_that_are_not_finite_are_refused(
    method: CompressionMethod, value: float, pair_of: Any
) -> None:
    delta = torch.zeros(4, 4)
    delta[2, 1] = value

    with pytest.raises(NotFiniteError, match=r"^w: the delta holds NaN or infinity"):
        method.encode(pair_of(delta), method.options())


def test_large_sums_are_not_mistaken_for_infinity(pair_of: Any, round_trip: Any) -> None:
    delta = torch.full((16, 2), 1e38)

    parts, decoded = round_trip(COMPRESSION["sign"], delta)

    assert parts["scale"][0] == pytest.approx(1e38)
    torch.testing.assert_close(decoded, delta)


EXPECTED = [
    param
    for param in _choices()
    if param.values[0].id in {"sign", "delta-dct", "low-rank"}
    or (param.values[1] in ({}, {"drop_rate": 0.5}) and param.values[0].id == "dare")
]


@pytest.mark.parametrize(("method", "kw"), EXPECTED)
def test_sizes_are_known_from_the_shape(method: CompressionMethod, kw: dict[str, Any]) -> None:
    options = method.options(**kw)
    for shape in SHAPES + DEEP:
        parts = method.encode(_pair(shape), options)

        assert _stored_bits(parts) == method.stored_bits(shape, options)


@pytest.mark.parametrize("method", LOSSY, ids=lambda method: method.id)
def test_missing_and_cut_parts_are_refused(
    method: CompressionMethod, pair_of: Any, gaussian: Callable[..., Tensor]
) -> None:
    options = method.options()
    pair = pair_of(gaussian(16, 24))
    parts = method.encode(pair, options)
    assert method.decode is not None

    for name in parts:
        without = {other: part for other, part in parts.items() if other != name}
        if name.endswith("_off"):
            continue
        with pytest.raises(AppError, match=r"^w: "):
            method.decode(without, pair.spec, options)
        with pytest.raises(FileError, match=r"^w: "):
            method.decode(parts | {name: parts[name][..., :-1]}, pair.spec, options)


@pytest.mark.parametrize("method", LOSSY, ids=lambda method: method.id)
def test_a_base_of_another_shape_is_refused(method: CompressionMethod) -> None:
    pair = _pair((8, 8))
    parts = method.encode(pair, method.options())

    with pytest.raises(MismatchError, match=r"shape \[8, 9\]"):
        restore_tensor(method, parts, torch.zeros(8, 9), pair.spec, method.options(), "BF16")


@pytest.mark.parametrize("method", COMPRESSION.values(), ids=lambda method: method.id)
def test_a_tensor_without_a_base_is_its_own_delta(method: CompressionMethod) -> None:
    tuned = _pair((24, 16)).tuned
    pair = TensorPair(TensorSpec("w", (24, 16)), None, tuned)

    parts = method.encode(pair, method.options())
    restored = restore_tensor(method, parts, None, pair.spec, method.options(), "BF16")

    assert restored.dtype == torch.bfloat16
    assert torch.equal(restored, tuned) is method.is_exact


def test_the_sum_is_rounded_once() -> None:
    base = torch.full((1, 8), 1.0).bfloat16()
    tuned = base.float() + 0.01
    pair = TensorPair(TensorSpec("w", (1, 8)), base, tuned)
    method = COMPRESSION["sign"]
    parts = method.encode(pair, method.options())

    restored = restore_tensor(method, parts, base, pair.spec, method.options(), "F32")

    assert torch.equal(restored, base.float() + pair.delta)


def test_settings_of_a_sweep_share_one_decomposition(
    pair_of: Any, gaussian: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(matrix: Tensor) -> Svd:
        calls.append(1)
        return thin_svd(matrix)

    monkeypatch.setattr("deltaworks.methods.compression.triples.thin_svd", counted)
    pair = pair_of(gaussian(24, 24))

    for bits in (0.5, 1.0, 2.0):
        low_rank.METHOD.encode(pair, low_rank.LowRankOptions(bits=bits))

    assert len(calls) == 1
