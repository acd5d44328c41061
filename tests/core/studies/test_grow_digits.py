"""The experiment on digits: needs scikit-learn's pictures, or a file of them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXPERIMENT = Path(__file__).parents[3] / "benchmarks" / "grow_digits.py"
FILE = os.environ.get("DELTAWORKS_DIGITS", "")


@pytest.mark.slow
@pytest.mark.skipif(
    not FILE and find_spec("sklearn") is None,
    reason="scikit-learn is not installed, and DELTAWORKS_DIGITS names no .npz of its digits",
)
def test_arms_come_in_the_order_that_the_page_states() -> None:
    words = ["--data", FILE] if FILE else []

    ended = subprocess.run(
        [sys.executable, str(EXPERIMENT), *words], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "not so" not in ended.stdout
    assert "**SoTU p = 0.9**" in ended.stdout
