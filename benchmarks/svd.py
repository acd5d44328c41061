"""Methods that decompose a delta: ours, and the same on what torch.linalg.svd gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.contests import OURS, Contestant, Result, Setup, hold, peer

METHODS = ("low-rank", "impart", "delta-come")
SHAPES = {
    "tiny": ((256, 256),),
    "small": ((1024, 1024), (1024, 2816)),
    "100m": ((2048, 2048), (2048, 5632)),
    "1b": ((4096, 4096), (4096, 11008)),
}
"""Layers of a model of 7 billion numbers at the largest size."""
SPECTRA = ("head", "falling")
PLAIN = "torch.linalg.svd"


def results(setup: Setup) -> Iterator[Result]:
    """Measure every method on every shape; one thread, encoding alone."""
    setup = replace(setup, threads=1)
    for rows, cols in SHAPES[setup.size]:
        for spectrum in SPECTRA:
            for method in METHODS:
                case = f"svd {method} {rows}x{cols} {spectrum}"
                if setup.wants(case):
                    yield from _case(case, method, (rows, cols, spectrum), setup)


def _case(case: str, method: str, of: tuple[int, int, str], setup: Setup) -> list[Result]:
    def command(who: str) -> Callable[[Path], list[str]]:
        return lambda _out: peer("decompose.py", who, method, *of)

    contestants = [Contestant(OURS, command("ours")), Contestant(PLAIN, command("plain"))]
    found = hold(case, contestants, setup)
    for result in found:
        told = result.runs[-1].told
        result.output_bytes = int(told["bytes"])
        result.more = {"error": told["error"]}
        result.note = f"error {told['error']:.4f} of the delta"
    return found
