from __future__ import annotations

import numpy as np
import pytest
import torch

from deltaworks.numerics.ordered_sums import OrderedSum


def _summed(values: np.ndarray, piece: int) -> float:
    total = OrderedSum(len(values))
    for start in range(0, len(values), piece):
        total.add(values[start : start + piece])
    return float(total.result())


@pytest.mark.parametrize("count", [1, 5, 8, 31, 32, 33, 200, 527, 4096, 32_768, 99_999, 1_100_007])
@pytest.mark.parametrize("piece", [1 << 15, 32 * 37])
def test_bits_are_those_of_torch(count: int, piece: int) -> None:
    values = np.abs(np.random.default_rng(count).standard_normal(count, dtype=np.float32))
    n_threads = torch.get_num_threads()

    torch.set_num_threads(1)
    try:
        wanted = float(torch.from_numpy(values).sum())
    finally:
        torch.set_num_threads(n_threads)

    is_same_order = torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}
    assert _summed(values, piece) == pytest.approx(wanted, rel=0 if is_same_order else 1e-5)


def test_the_sum_is_right_on_any_processor() -> None:
    values = np.random.default_rng(0).standard_normal(300_001, dtype=np.float32)

    assert _summed(values, 1 << 15) == pytest.approx(float(values.sum(dtype=np.float64)), abs=1e-2)
    assert _summed(values[:0], 1 << 15) == 0.0
