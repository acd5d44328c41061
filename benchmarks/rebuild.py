"""Rebuilding the model from base and delta, whole process, beside plain scripts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import compress
from benchmarks.contests import CLI, OURS, Contestant, Result, Setup, hold, peer
from benchmarks.measuring import measure
from benchmarks.models import Family, family
from benchmarks.outputs import compare


def results(setup: Setup) -> Iterator[Result]:
    """Measure every method; the delta files are made first, unmeasured."""
    models = family(setup.size, setup.cache)
    with tempfile.TemporaryDirectory(prefix="deltas-", dir=setup.cache) as folder:
        for method in compress.METHODS:
            if not setup.wants(f"rebuild {method}"):
                continue
            mine = Path(folder) / method
            theirs = Path(folder) / f"{method}.plain"
            measure(compress.ours(method, models)(mine), setup.environment)
            measure(compress.plain(method, models)(theirs), setup.environment)
            delta = mine / f"x{compress.SUFFIX}"
            yield from _method(method, models, setup, delta, theirs)


def _method(method: str, models: Family, setup: Setup, delta: Path, theirs: Path) -> list[Result]:
    base = str(models.base)
    kind = compress.METHODS[method]
    contestants = [
        Contestant(
            OURS,
            lambda out: [
                *(*CLI, "rebuild", str(delta), "--base", base, "-o", str(out), "--json"),
            ],
        ),
        Contestant(
            compress.plain_name(method),
            lambda out: peer("plain_delta.py", "unpack", kind, base, theirs, out),
        ),
    ]

    def look(outputs: dict[str, Path]) -> dict[str, str]:
        expert = models.experts[0]
        return {name: f"expert: {compare(expert, path)}" for name, path in outputs.items()}

    return hold(f"rebuild {method}", contestants, setup, look=look)
