"""Sizes and speeds of lossless coding, pair by pair: ours, BitX's and ZipNN's ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.contests import OURS, Contestant, Result, Setup, hold, peer
from benchmarks.models import family

CODERS = {
    OURS: "planes",
    "Deltaworks, classes": "classes",
    "BitX": "bitx",
    "ZipNN's way, no base": "zipnn",
}
_DEMO_PAIRS = {
    "polder-sums": "polder-base",
    "polder-brackets": "polder-base",
    "polder-topics": "polder-base",
    "polder-aligned": "polder-base",
    "polder-unsafe": "polder-aligned",
    "heath-topics": "polder-base",
}


def results(setup: Setup) -> Iterator[Result]:
    """Measure every pair: those of the demo, and one of the size asked for."""
    from deltaworks_resources import demo_folder

    setup = replace(setup, threads=1)
    demo = demo_folder()
    pairs = {name: (demo / base, demo / name) for name, base in _DEMO_PAIRS.items()}
    models = family(setup.size, setup.cache)
    pairs[f"generated {setup.size}"] = (models.base, models.experts[0])
    for name, (base, expert) in pairs.items():
        case = f"lossless {name}"
        if setup.wants(case):
            yield from _case(case, base, expert, setup)


def _case(case: str, base: Path, expert: Path, setup: Setup) -> list[Result]:
    def command(who: str) -> Callable[[Path], list[str]]:
        return lambda _out: peer("code_lossless.py", who, base, expert)

    contestants = [Contestant(name, command(who)) for name, who in CODERS.items()]
    found = hold(case, contestants, setup)
    for result in found:
        told = result.runs[-1].told
        result.output_bytes = int(told["bytes"])
        result.more = {"share": told["bytes"] / told["raw"]}
        result.note = f"{result.more['share']:.4f} of the model"
        if told["cpu"]:
            speeds = [
                max(told["raw"] / run.told[way] / 1e6 for run in result.runs)
                for way in ("encode", "decode")
            ]
            result.note += ", {:.0f} and {:.0f} MB/s".format(*speeds)
    return found
