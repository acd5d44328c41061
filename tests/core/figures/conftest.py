"""Sweeps as the figures get them: two experts, all methods, all kinds of trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from deltaworks.studies.trials import Reference, Sweep, Trial

TITLES = {
    "sign": "Sign (BitDelta)",
    "delta-dct": "Delta-DCT",
    "dare": "DARE",
    "magnitude": "Magnitude pruning",
    "low-rank": "Low rank (SVD)",
    "lossless": "Lossless",
}


def make_trial(number: int, method: str, size: int, quality: float | None, **more: Any) -> Trial:
    """A trial of a 3.3 MB expert; ``done`` and measured unless said otherwise."""
    trial = Trial(
        number=number,
        expert="sums",
        expert_path="/models/sums",
        method=method,
        title=TITLES[method],
        options={},
        state="done",
        file_bytes=size,
        original_bytes=3_300_000,
        bits_per_weight=16 * size / 3_300_000,
        fidelity=0.6,
        quality=quality,
        quality_low=None if quality is None else quality - 0.02,
        quality_high=None if quality is None else quality + 0.02,
        measured_on="" if quality is None else "accuracy on Sums, 400 items",
        is_exact=method == "lossless",
    )
    return replace(trial, **more)


@pytest.fixture
def trial() -> Callable[..., Trial]:
    return make_trial


@pytest.fixture
def sweep() -> Sweep:
    """One expert, eight measured trials, four on the front."""
    trials = (
        make_trial(1, "sign", 250_000, 0.905, on_front=True),
        make_trial(2, "sign", 500_000, 0.968, on_front=True),
        make_trial(3, "magnitude", 1_000_000, 0.991, on_front=True, recommended=True),
        make_trial(4, "dare", 1_050_000, 0.946),
        make_trial(5, "dare", 300_000, 0.79),
        make_trial(6, "low-rank", 550_000, 0.80),
        make_trial(7, "delta-dct", 560_000, 0.76),
        make_trial(8, "lossless", 2_000_000, 1.0, on_front=True),
    )
    lines = (
        Reference("expert", "sums", "full expert, 97.2 % on Sums", 3_300_000, 1.0),
        Reference("base", "sums", "base alone, 55.4 % on Sums", 3_300_000, 0.57),
    )
    return Sweep("s1", "Sums", "2026-01-01", "base", "/models/base", trials, lines)


@pytest.fixture
def two_experts(sweep: Sweep) -> Sweep:
    """The same for a second expert as well, with an estimate and a failure."""
    second = [
        replace(t, number=t.number + 8, expert="brackets", file_bytes=t.file_bytes + 9_000)
        for t in sweep.trials
    ]
    second[3] = replace(second[3], quality=None, measured_on="")
    second[4] = replace(second[4], state="failed", reason="no memory")
    lines = tuple(replace(line, expert="brackets") for line in sweep.references)
    return replace(
        sweep, id="s2", trials=(*sweep.trials, *second), references=(*sweep.references, *lines)
    )
