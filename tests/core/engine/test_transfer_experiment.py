from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "transfer_arithmetic.py"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [0, 1])
def test_what_the_page_on_transfer_asserts_holds(tmp_path: Path, seed: int) -> None:
    program: dict[str, Any] = runpy.run_path(str(BENCHMARK))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        facts = program["transfer"](tmp_path, seed)
    finally:
        torch.set_num_threads(before)

    assert program["failures"](facts) == []
