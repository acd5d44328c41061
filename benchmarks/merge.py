"""Merging, whole process: ours, mergekit, and a plain script of torch and safetensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from benchmarks.contests import CLI, OURS, Contestant, Result, Setup, hold, peer, remove
from benchmarks.measuring import measure
from benchmarks.models import Family, family
from benchmarks.outputs import compare

_MERGEKIT = "mergekit"
_PLAIN = "plain torch script"
_QUICK = ("--quiet", "--no-copy-tokenizer", "--no-write-model-card")
"""Whatever spares mergekit work that we do not do."""


def results(setup: Setup) -> Iterator[Result]:
    """Measure every method."""
    models = family(setup.size, setup.cache)
    for method in ("linear", "slerp", "task_arithmetic", "ties"):
        if setup.wants(f"merge {method}"):
            yield from _method(method, models, setup)


def _method(method: str, models: Family, setup: Setup) -> list[Result]:
    config = setup.cache / f"{method}-{setup.size}.yml"
    config.write_text(yaml.safe_dump(_document(method, models)))
    contestants = [
        Contestant(OURS, lambda out: [*CLI, "merge", str(config), str(out), "--json"]),
        Contestant(_PLAIN, lambda out: peer("plain_merge.py", config, out)),
    ]
    if setup.mergekit:
        script = [setup.mergekit, "-m", "mergekit.scripts.run_yaml"]
        contestants.append(
            Contestant(_MERGEKIT, lambda out: [*script, str(config), str(out), *_QUICK])
        )

    def look(outputs: dict[str, Path]) -> dict[str, str]:
        notes = {
            name: compare(outputs[OURS], path) for name, path in outputs.items() if name != OURS
        }
        if setup.mergekit and method == "ties":
            stable = outputs[_MERGEKIT].with_name("stable")
            command = peer("mergekit_stable.py", config, stable, *_QUICK)
            measure([setup.mergekit, *command[1:]], setup.environment)
            notes[_MERGEKIT] += f"; with a stable sort: {compare(outputs[OURS], stable)}"
            remove(stable)
        return notes

    return hold(f"merge {method}", contestants, setup, look=look)


def _document(method: str, models: Family) -> dict[str, Any]:
    """Make the file that all contestants read: float32 inside, one rounding at the end."""
    base, experts = str(models.base), [str(expert) for expert in models.experts]
    document: dict[str, Any] = {
        "merge_method": method,
        "dtype": "float32",
        "out_dtype": "bfloat16",
    }
    if method == "slerp":
        document["parameters"] = {"t": 0.4}
        return document | {
            "base_model": base,
            "models": [{"model": base}, {"model": experts[0]}],
        }
    weights = {"linear": (0.6, 0.4), "task_arithmetic": (0.7, 0.5), "ties": (1.0, 1.0)}[method]
    own = [{"weight": weight} for weight in weights]
    if method == "ties":
        own = [values | {"density": 0.3} for values in own]
    if method != "linear":
        document["base_model"] = base
    return document | {
        "models": [
            {"model": path, "parameters": values} for path, values in zip(experts, own, strict=True)
        ]
    }
