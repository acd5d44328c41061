"""Small layers with their inputs, and a short way to repair one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from deltaworks.methods import safety_method
from deltaworks.methods.method import TensorSpec
from deltaworks.methods.safety_record import Repaired, RepairInputs
from deltaworks.numerics.factors import Factor

Repair = Callable[..., Repaired]


@pytest.fixture
def exact_factor() -> Callable[[Tensor], Factor]:
    """The factor of a matrix as it is: no damping, float64."""

    def make(h: Tensor) -> Factor:
        inverse = torch.linalg.inv(h.double())
        upper = torch.linalg.cholesky(inverse, upper=True)
        dead = torch.zeros(len(h), dtype=torch.bool)
        return Factor(upper, 0.0, dead)

    return make


@pytest.fixture
def repair(exact_factor: Callable[[Tensor], Factor]) -> Repair:
    """Repair one tensor: ``repair("safe-delta", aligned, tuned, h=…, rho=0.5)``."""

    def run(
        method: str,
        aligned: Tensor,
        tuned: Tensor,
        *,
        h: Tensor | None = None,
        fisher: Tensor | None = None,
        unaligned: Tensor | None = None,
        pretrained: Tensor | None = None,
        sibling: Tensor | None = None,
        seed: int = 0,
        name: str = "layer",
        **options: Any,
    ) -> Repaired:
        record = safety_method(method)
        inputs = RepairInputs(
            TensorSpec(name, tuple(aligned.shape), seed),
            aligned,
            tuned,
            unaligned=unaligned,
            pretrained=pretrained,
            sibling=sibling,
            gram=None if h is None else lambda: h,
            fisher=None if fisher is None else lambda: fisher,
            factor=None if h is None or h.ndim == 1 else lambda _damping: exact_factor(h),
        )
        return record.repair(inputs, record.options(**options))

    return run


@pytest.fixture
def layer() -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """Aligned and tuned weights and the H of correlated inputs, all random."""

    def make(rows: int = 6, columns: int = 8, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        rng = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=rng, dtype=torch.float64)

        x = normal(columns, columns) @ normal(columns, 4 * columns)
        h = 2 * x @ x.T / (4 * columns)
        aligned = normal(rows, columns).float()
        return aligned, aligned + 0.1 * normal(rows, columns).float(), h

    return make
