"""Compressing one fine-tune, whole process: ours, and plain scripts of numpy, torch and zstd."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.contests import CLI, OURS, Contestant, Result, Setup, hold, peer
from benchmarks.models import Family, family

METHODS = {"sign": "sign", "dare": "dare", "low-rank": "low-rank", "lossless": "xor-zstd"}
"""Our method, and what the plain script of the same idea is called."""
SUFFIX = ".delta.safetensors"
_Command = Callable[[Path], Sequence[str]]


def results(setup: Setup) -> Iterator[Result]:
    """Measure every method, and a plain save of the whole model beside lossless."""
    models = family(setup.size, setup.cache)
    for method in METHODS:
        if not setup.wants(f"compress {method}"):
            continue
        contestants = [
            Contestant(OURS, ours(method, models)),
            Contestant(plain_name(method), plain(method, models)),
        ]
        if method == "lossless":
            saved = Contestant(
                "safetensors load and save",
                lambda out: peer(
                    "plain_delta.py", "pack", "copy", models.base, *_into(models, out)
                ),
            )
            contestants.append(saved)
        for result in hold(f"compress {method}", contestants, setup):
            ratio = models.model_bytes / result.output_bytes
            result.note = f"{ratio:.2f} times smaller than the model"
            result.more = {"ratio": ratio}
            yield result


def ours(method: str, models: Family) -> _Command:
    """Give our command for a method; its output is a delta file in a folder."""
    return lambda out: [
        *(*CLI, "compress", str(models.base), str(models.experts[0])),
        *("-m", method, "-o", str(out / f"x{SUFFIX}"), "--json"),
    ]


def plain(method: str, models: Family) -> _Command:
    """Give the plain script's command for the same idea."""
    kind = METHODS[method]
    return lambda out: peer("plain_delta.py", "pack", kind, models.base, *_into(models, out))


def plain_name(method: str) -> str:
    """Name the plain script for the table."""
    return "XOR, byte planes, zstd -3" if method == "lossless" else f"plain {method} script"


def _into(models: Family, out: Path) -> tuple[Path, Path]:
    return models.experts[0], out
