"""Pairs of tensors to compress and the figures that judge the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from deltaworks.methods.compression_record import CompressionMethod, Parts, TensorPair
from deltaworks.methods.method import TensorSpec

PairOf = Callable[..., TensorPair]
RoundTrip = Callable[..., tuple[Parts, Tensor]]


def make_pair(delta: Tensor, *, seed: int = 0, name: str = "w") -> TensorPair:
    """A pair whose delta is exactly this one: the base is zero in float32."""
    spec = TensorSpec(name, tuple(delta.shape), seed)
    return TensorPair(spec, torch.zeros(delta.shape), delta)


@pytest.fixture
def pair_of() -> PairOf:
    return make_pair


@pytest.fixture
def round_trip() -> RoundTrip:
    """Encode and decode a delta: its parts and what comes back."""

    def run(method: CompressionMethod, delta: Tensor, *, seed: int = 0, **options: Any) -> Any:
        chosen = method.options(**options)
        pair = make_pair(delta, seed=seed)
        parts = method.encode(pair, chosen)
        assert method.decode is not None
        return parts, method.decode(parts, pair.spec, chosen)

    return run


@pytest.fixture
def error_of() -> Callable[[Tensor, Tensor], float]:
    """Squared error relative to the energy of the delta, in float64."""

    def error(delta: Tensor, decoded: Tensor) -> float:
        gap = (delta.double() - decoded.double()).square().sum()
        return float(gap / delta.double().square().sum())

    return error


@pytest.fixture
def gaussian() -> Callable[..., Tensor]:
    def draw(*shape: int, seed: int = 0) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

    return draw


@pytest.fixture
def laplace() -> Callable[..., Tensor]:
    def draw(*shape: int, seed: int = 0) -> Tensor:
        even = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) - 0.5
        return -even.sign() * torch.log1p(-2 * even.abs().clamp_max(0.4999999))

    return draw
